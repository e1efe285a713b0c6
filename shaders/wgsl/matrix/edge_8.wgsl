//! Matrices of 16 × 16 as four of 8 × 8, where the matrix units multiply those: f16 products, f32 sums (Metal). The interface is that of
//! `matrix/edge_16`. Metal loads matrices from scalars alone, and does not say what one that was not loaded holds, so sums begin as zeros
//! from memory. naga takes names alone as indices of what is loaded. WORKGROUP is the kernel's number of invocations.
enable f16;
enable wgpu_cooperative_matrix;

alias Left8 = coop_mat8x8<f16, A>;
alias Right8 = coop_mat8x8<f16, B>;
alias Sum8 = coop_mat8x8<f32, C>;

// Quarters by row and column.
struct Left {
    m00: Left8,
    m01: Left8,
    m10: Left8,
    m11: Left8,
}

struct Right {
    m00: Right8,
    m01: Right8,
    m10: Right8,
    m11: Right8,
}

struct Sum {
    m00: Sum8,
    m01: Sum8,
    m10: Sum8,
    m11: Sum8,
}

var<workgroup> tiles: array<f16, TILE_QUADS * 4u>;
var<workgroup> sums: array<f32, SUM_QUADS * 4u>;
var<workgroup> zeros: array<f32, 64>;

fn put(at: u32, quad: vec4<f16>) {
    let first = at * 4u;
    tiles[first] = quad.x;
    tiles[first + 1u] = quad.y;
    tiles[first + 2u] = quad.z;
    tiles[first + 3u] = quad.w;
}

fn begin_sums(local: u32) {
    for (var i = local; i < 64u; i += WORKGROUP) {
        zeros[i] = 0.0;
    }
    workgroupBarrier();
}

fn no_sum() -> Sum {
    let zero = coopLoadT<Sum8>(&zeros[0], 8u);
    return Sum(zero, zero, zero, zero);
}

fn left(at: u32, pitch: u32) -> Left {
    let row = pitch * 4u;
    let first = at * 4u;
    let beside = first + 8u;
    let below = first + 8u * row;
    let across = below + 8u;
    let m00 = coopLoadT<Left8>(&tiles[first], row);
    let m01 = coopLoadT<Left8>(&tiles[beside], row);
    let m10 = coopLoadT<Left8>(&tiles[below], row);
    let m11 = coopLoadT<Left8>(&tiles[across], row);
    return Left(m00, m01, m10, m11);
}

fn right(at: u32, pitch: u32) -> Right {
    let row = pitch * 4u;
    let first = at * 4u;
    let beside = first + 8u;
    let below = first + 8u * row;
    let across = below + 8u;
    let m00 = coopLoadT<Right8>(&tiles[first], row);
    let m01 = coopLoadT<Right8>(&tiles[beside], row);
    let m10 = coopLoadT<Right8>(&tiles[below], row);
    let m11 = coopLoadT<Right8>(&tiles[across], row);
    return Right(m00, m01, m10, m11);
}

fn right_of_columns(at: u32, pitch: u32) -> Right {
    let row = pitch * 4u;
    let first = at * 4u;
    let beside = first + 8u;
    let below = first + 8u * row;
    let across = below + 8u;
    let m00 = coopLoad<Right8>(&tiles[first], row);
    let m01 = coopLoad<Right8>(&tiles[below], row);
    let m10 = coopLoad<Right8>(&tiles[beside], row);
    let m11 = coopLoad<Right8>(&tiles[across], row);
    return Right(m00, m01, m10, m11);
}

fn multiply_add(a: Left, b: Right, sum: Sum) -> Sum {
    let m00 = coopMultiplyAdd(a.m01, b.m10, coopMultiplyAdd(a.m00, b.m00, sum.m00));
    let m01 = coopMultiplyAdd(a.m01, b.m11, coopMultiplyAdd(a.m00, b.m01, sum.m01));
    let m10 = coopMultiplyAdd(a.m11, b.m10, coopMultiplyAdd(a.m10, b.m00, sum.m10));
    let m11 = coopMultiplyAdd(a.m11, b.m11, coopMultiplyAdd(a.m10, b.m01, sum.m11));
    return Sum(m00, m01, m10, m11);
}

fn leave(sum: Sum, at: u32, pitch: u32) {
    let row = pitch * 4u;
    let first = at * 4u;
    let beside = first + 8u;
    let below = first + 8u * row;
    let across = below + 8u;
    coopStoreT(sum.m00, &sums[first], row);
    coopStoreT(sum.m01, &sums[beside], row);
    coopStoreT(sum.m10, &sums[below], row);
    coopStoreT(sum.m11, &sums[across], row);
}

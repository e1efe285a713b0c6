//! Matrices of 16 × 16 on matrix units that multiply just these: f16 products, f32 sums (Vulkan). Matrices lie in `tiles` and `sums`, from
//! quad `at` on, with `pitch` quads from row to row; the kernel says how many quads there are, TILE_QUADS and SUM_QUADS. All invocations
//! of a subgroup take part in each function but `put`, all of the workgroup in `begin_sums`.
enable f16;
enable wgpu_cooperative_matrix;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;

var<workgroup> tiles: array<vec4<f16>, TILE_QUADS>;
var<workgroup> sums: array<f32, SUM_QUADS * 4u>;

fn put(at: u32, quad: vec4<f16>) {
    tiles[at] = quad;
}

// Once, before all others.
fn begin_sums(local: u32) {}

fn no_sum() -> Sum {
    return Sum();
}

fn left(at: u32, pitch: u32) -> Left {
    return coopLoadT<Left>(&tiles[at], pitch);
}

fn right(at: u32, pitch: u32) -> Right {
    return coopLoadT<Right>(&tiles[at], pitch);
}

// Its columns lie there as rows.
fn right_of_columns(at: u32, pitch: u32) -> Right {
    return coopLoad<Right>(&tiles[at], pitch);
}

fn multiply_add(a: Left, b: Right, sum: Sum) -> Sum {
    return coopMultiplyAdd(a, b, sum);
}

fn leave(sum: Sum, at: u32, pitch: u32) {
    let first = at * 4u;
    let row = pitch * 4u;
    coopStoreT(sum, &sums[first], row);
}

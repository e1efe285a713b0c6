//! out[t, n] = Σ_k x[t, k] · w[n, k] + bias[n] + residual[t, n] for many tokens on the matrix units.
//! Buffers: x, weights (format), those of `epilogue/matrix`; K is a multiple of 32.
//! Grid: (tiles of 64 rows of w, tiles of 64 tokens), 4 subgroups of 32 × 32 sums each. A group of 32 columns of both tiles is narrowed to
//! f16 once into workgroup memory; the next group is on its way while this one is multiplied.
//! Arithmetic: f16 products, f32 sums; relative error about 5e-4 of sqrt(Σ (x w)²). x is clamped to what f16 holds.
//! Needs: f16, cooperative matrices of 16 × 16, 28 KiB of workgroup memory.
enable f16;
enable wgpu_cooperative_matrix;

// [T, K / 4]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;

// Quads of a row of a tile: 8 and padding, so that rows start in different banks.
const PITCH: u32 = 10u;
const OUT_PITCH: u32 = 68u;
var<workgroup> tile_w: array<vec4<f16>, 64u * PITCH>;
var<workgroup> tile_x: array<vec4<f16>, 64u * PITCH>;
var<workgroup> tile_out: array<f32, 64u * OUT_PITCH>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_n = workgroup.x * 64u;
    let first_t = workgroup.y * 64u;
    // An invocation fills half a group of one row of each tile.
    let half = local % 2u;
    let w_group = (step.first_row + min(first_n + local / 2u, step.n - 1u)) * step.groups;
    let x_quad = min(first_t + local / 2u, rows - 1u) * (step.k / 4u) + half * 4u;
    let filled = local / 2u * PITCH + half * 4u;
    // The corner of this subgroup's sums.
    let own_n = local / 32u % 2u * 32u;
    let own_t = local / 64u * 32u;
    var sum00 = coop_mat16x16<f32, C>();
    var sum01 = coop_mat16x16<f32, C>();
    var sum10 = coop_mat16x16<f32, C>();
    var sum11 = coop_mat16x16<f32, C>();
    var block = load_block(w_group);
    var values: array<vec4<f32>, 4>;
    for (var i = 0u; i < 4u; i++) {
        values[i] = x[x_quad + i];
    }
    for (var group = 0u; group < step.groups; group++) {
        let w = half_values(block, half);
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            tile_w[filled + i] = vec4<f16>(w.v[i]);
            tile_x[filled + i] = vec4<f16>(clamp(values[i], vec4(-65504.0), vec4(65504.0)));
        }
        workgroupBarrier();
        let next = min(group + 1u, step.groups - 1u);
        block = load_block(w_group + next);
        for (var i = 0u; i < 4u; i++) {
            values[i] = x[x_quad + next * 8u + i];
        }
        for (var k = 0u; k < 8u; k += 4u) {
            let at_x = own_t * PITCH + k;
            let at_w = own_n * PITCH + k;
            let x0 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[at_x], PITCH);
            let x1 = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[at_x + 16u * PITCH], PITCH);
            let w0 = coopLoad<coop_mat16x16<f16, B>>(&tile_w[at_w], PITCH);
            let w1 = coopLoad<coop_mat16x16<f16, B>>(&tile_w[at_w + 16u * PITCH], PITCH);
            sum00 = coopMultiplyAdd(x0, w0, sum00);
            sum01 = coopMultiplyAdd(x0, w1, sum01);
            sum10 = coopMultiplyAdd(x1, w0, sum10);
            sum11 = coopMultiplyAdd(x1, w1, sum11);
        }
    }
    let corner = own_t * OUT_PITCH + own_n;
    let below = corner + 16u * OUT_PITCH;
    let right = corner + 16u;
    let opposite = below + 16u;
    coopStoreT(sum00, &tile_out[corner], OUT_PITCH);
    coopStoreT(sum01, &tile_out[right], OUT_PITCH);
    coopStoreT(sum10, &tile_out[below], OUT_PITCH);
    coopStoreT(sum11, &tile_out[opposite], OUT_PITCH);
    workgroupBarrier();
    for (var i = local; i < 4096u; i += 128u) {
        store(first_t + i / 64u, first_n + i % 64u, rows, tile_out[i / 64u * OUT_PITCH + i % 64u]);
    }
}

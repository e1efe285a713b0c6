//! Σ_k x[t, k] · w[n, k] for many tokens on the matrix units; `epilogue/tile_store`, `tile_gated` or `tile_rope_store` says what becomes of it.
//! Buffers: x in f16 (`narrow`), weights (format), those of the epilogue; K is a multiple of 32.
//! Grid: (tiles of TILE_N rows of w, tiles of TILE_T tokens); a subgroup sums 32 tokens of 16 · WIDE rows, WIDE 2 or 4. DEPTH groups of 32 columns of the weights
//! are widened to f16 once into workgroup memory; the next ones are on their way while these are multiplied.
//! Arithmetic: f16 products, f32 sums; relative error about 5e-4 of sqrt(Σ (x w)²).
//! Needs: f16, cooperative matrices (`matrix/`), subgroups of 32, workgroup memory for the tiles.
//! Expects: begin_sums, no_sum, tile_row, load_block, half_values, put, left, right_of_columns, multiply_add, finish
enable f16;

// [T, K / 4]
@group(0) @binding(2) var<storage, read> x: array<vec4<f16>>;

const TILE_N: u32 = SUBGROUPS_N * 16u * WIDE;
const TILE_T: u32 = SUBGROUPS_T * 32u;
const SUBGROUPS: u32 = SUBGROUPS_N * SUBGROUPS_T;
const WORKGROUP: u32 = SUBGROUPS * 32u;
// Halves of groups, and quads of x, that an invocation brings at a time.
const OWN_HALVES: u32 = TILE_N * 2u * DEPTH / WORKGROUP;
const OWN_QUADS: u32 = TILE_T * 8u * DEPTH / WORKGROUP;
// Quads of a row of a tile, padded so that rows start in different banks.
const PITCH: u32 = 8u * DEPTH + 2u;
const OUT_PITCH: u32 = 5u;
// Of w, then of x.
const TILE_QUADS: u32 = (TILE_N + TILE_T) * PITCH;
const TILE_X: u32 = TILE_N * PITCH;
// 16 × 16 sums of each subgroup.
const SUM_QUADS: u32 = SUBGROUPS * 16u * OUT_PITCH;

// Where this subgroup leaves a matrix of sums, and its element i.
fn own_sums(local: u32) -> u32 {
    return local / 32u * 16u * OUT_PITCH;
}

fn sum_of(i: u32, local: u32) -> f32 {
    return sums[(own_sums(local) + i / 16u * OUT_PITCH) * 4u + i % 16u];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_t = workgroup.y * TILE_T;
    // The corner of this subgroup's sums.
    let own_n = local / 32u % SUBGROUPS_N * (16u * WIDE);
    let own_t = local / 32u / SUBGROUPS_N * 32u;
    begin_sums(local);
    // Each is a variable of its own: drivers keep an array of them in memory, not in registers.
    var sum00 = no_sum();
    var sum01 = no_sum();
    var sum02 = no_sum();
    var sum03 = no_sum();
    var sum10 = no_sum();
    var sum11 = no_sum();
    var sum12 = no_sum();
    var sum13 = no_sum();
    var w_group: array<u32, OWN_HALVES>;
    var blocks: array<Block, OWN_HALVES>;
    for (var i = 0u; i < OWN_HALVES; i++) {
        let unit = local + i * WORKGROUP;
        let row = step.first_row + tile_row(workgroup.x, unit / (2u * DEPTH));
        w_group[i] = row * step.groups;
        blocks[i] = load_block(w_group[i] + min(unit / 2u % DEPTH, step.groups - 1u));
    }
    var x_quad: array<u32, OWN_QUADS>;
    var quads: array<vec4<f16>, OWN_QUADS>;
    let last_quad = step.k / 4u - 1u;
    for (var i = 0u; i < OWN_QUADS; i++) {
        let unit = local + i * WORKGROUP;
        x_quad[i] = min(first_t + unit / (8u * DEPTH), rows - 1u) * (step.k / 4u);
        quads[i] = x[x_quad[i] + min(unit % (8u * DEPTH), last_quad)];
    }
    for (var group = 0u; group < step.groups; group += DEPTH) {
        workgroupBarrier();
        for (var i = 0u; i < OWN_HALVES; i++) {
            let unit = local + i * WORKGROUP;
            let w = half_values(blocks[i], unit % 2u);
            let at = unit / (2u * DEPTH) * PITCH + unit % (2u * DEPTH) * 4u;
            for (var j = 0u; j < 4u; j++) {
                put(at + j, vec4<f16>(w.v[j]));
            }
        }
        for (var i = 0u; i < OWN_QUADS; i++) {
            let unit = local + i * WORKGROUP;
            let quad = unit % (8u * DEPTH);
            // Past the last group, where DEPTH does not divide their number, x is 0.
            put(TILE_X + unit / (8u * DEPTH) * PITCH + quad, select(vec4<f16>(), quads[i], group * 8u + quad <= last_quad));
        }
        workgroupBarrier();
        for (var i = 0u; i < OWN_HALVES; i++) {
            let unit = local + i * WORKGROUP;
            blocks[i] = load_block(w_group[i] + min(group + DEPTH + unit / 2u % DEPTH, step.groups - 1u));
        }
        for (var i = 0u; i < OWN_QUADS; i++) {
            let unit = local + i * WORKGROUP;
            quads[i] = x[x_quad[i] + min((group + DEPTH) * 8u + unit % (8u * DEPTH), last_quad)];
        }
        for (var k = 0u; k < 8u * DEPTH; k += 4u) {
            let at_x = TILE_X + own_t * PITCH + k;
            let at_w = own_n * PITCH + k;
            let x0 = left(at_x, PITCH);
            let x1 = left(at_x + 16u * PITCH, PITCH);
            let w0 = right_of_columns(at_w, PITCH);
            let w1 = right_of_columns(at_w + 16u * PITCH, PITCH);
            sum00 = multiply_add(x0, w0, sum00);
            sum01 = multiply_add(x0, w1, sum01);
            sum10 = multiply_add(x1, w0, sum10);
            sum11 = multiply_add(x1, w1, sum11);
            if WIDE == 4u {
                let w2 = right_of_columns(at_w + 32u * PITCH, PITCH);
                let w3 = right_of_columns(at_w + 48u * PITCH, PITCH);
                sum02 = multiply_add(x0, w2, sum02);
                sum03 = multiply_add(x0, w3, sum03);
                sum12 = multiply_add(x1, w2, sum12);
                sum13 = multiply_add(x1, w3, sum13);
            }
        }
    }
    let t = first_t + own_t;
    if WIDE == 4u {
        finish(sum00, sum02, workgroup.x, own_n, 0u, t, rows, local);
        finish(sum01, sum03, workgroup.x, own_n, 1u, t, rows, local);
        finish(sum10, sum12, workgroup.x, own_n, 0u, t + 16u, rows, local);
        finish(sum11, sum13, workgroup.x, own_n, 1u, t + 16u, rows, local);
    } else {
        finish(sum00, sum01, workgroup.x, own_n, 0u, t, rows, local);
        finish(sum10, sum11, workgroup.x, own_n, 0u, t + 16u, rows, local);
    }
}

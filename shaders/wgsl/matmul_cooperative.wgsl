//! Σ_k x[t, k] · w[n, k] for many tokens on the matrix units; `epilogue/tile_store`, `tile_gated`, `tile_rope_store` or `tile_parts` says what becomes of it.
//! Buffers: x in f16 (`narrow`), weights (format), those of the epilogue; K is a multiple of 32.
//! Grid: (tiles of TILE_N rows of w, tiles of TILE_T tokens, shares of the columns); a subgroup sums 16 · TALL tokens of 16 · WIDE rows, TALL 1 or 2, WIDE 2 or 4.
//! DEPTH groups of 32 columns of the weights, 1, 2, 4 or 8, are widened to f16 once into workgroup memory; the next ones are on their way while these are
//! multiplied. An invocation widens HALVES halves of a group at a time, at most four times, and brings at most eight quads of x. A sum's order depends on the
//! number of shares alone.
//! Arithmetic: f16 products, f32 sums; relative error about 5e-4 of sqrt(Σ (x w)²).
//! Needs: f16, cooperative matrices (`matrix/`), subgroups of 32, workgroup memory for the tiles.
//! Expects: begin_sums, no_sum, tile_row, load_block, half_values, put, left, right_of_columns, multiply_add, finish
enable f16;

// [T, K / 4]
@group(0) @binding(2) var<storage, read> x: array<vec4<f16>>;

const TILE_N: u32 = SUBGROUPS_N * 16u * WIDE;
const TILE_T: u32 = SUBGROUPS_T * 16u * TALL;
const SUBGROUPS: u32 = SUBGROUPS_N * SUBGROUPS_T;
const WORKGROUP: u32 = SUBGROUPS * 32u;
// Groups or halves of them, 1, 2 or 4, and quads of x, 1, 2, 4 or 8, that an invocation brings at a time.
const OWN_BLOCKS: u32 = TILE_N * ROW_BLOCKS / WORKGROUP;
const ROW_BLOCKS: u32 = 2u * DEPTH / HALVES;
const OWN_QUADS: u32 = TILE_T * 8u * DEPTH / WORKGROUP;
// Quads of a row of a tile, padded so that rows start in different banks.
const PITCH: u32 = 8u * DEPTH + 2u;
const OUT_PITCH: u32 = 5u;
// Of w, then of x.
const TILE_QUADS: u32 = (TILE_N + TILE_T) * PITCH;
const TILE_X: u32 = TILE_N * PITCH;
// 16 × 16 sums of each subgroup.
const SUM_QUADS: u32 = SUBGROUPS * 16u * OUT_PITCH;

// Groups of 32 columns in a share are a multiple of so many: as deep as any tile.
const SHARE_GROUPS: u32 = 8u;

// Which share of the columns this workgroup has.
var<private> share: u32;

// Where this subgroup leaves a matrix of sums, and its element i.
fn own_sums(local: u32) -> u32 {
    return local / 32u * 16u * OUT_PITCH;
}

fn sum_of(i: u32, local: u32) -> f32 {
    return sums[(own_sums(local) + i / 16u * OUT_PITCH) * 4u + i % 16u];
}

// The first group of the row of the weight that is an invocation's i-th, and how far behind a turn's first group its own lies.
fn block_row(i: u32, tile: u32, local: u32) -> u32 {
    return (step.first_row + tile_row(tile, (local + i * WORKGROUP) / ROW_BLOCKS)) * step.groups;
}

fn block_column(i: u32, local: u32) -> u32 {
    return (local + i * WORKGROUP) * HALVES / 2u % DEPTH;
}

fn put_block(b: Block, i: u32, local: u32) {
    let unit = local + i * WORKGROUP;
    let at = unit / ROW_BLOCKS * PITCH + unit % ROW_BLOCKS * (4u * HALVES);
    let w = half_values(b, select(unit % 2u, 0u, HALVES == 2u));
    for (var j = 0u; j < 4u; j++) {
        put(at + j, vec4<f16>(w.v[j]));
    }
    if HALVES == 2u {
        let high = half_values(b, 1u);
        for (var j = 0u; j < 4u; j++) {
            put(at + 4u + j, vec4<f16>(high.v[j]));
        }
    }
}

// Where an invocation's i-th quad of x lies that a turn from `group` on takes, none behind `last_quad` of a row.
fn x_at(i: u32, group: u32, last_quad: u32, first_t: u32, rows: u32, local: u32) -> u32 {
    let unit = local + i * WORKGROUP;
    return min(first_t + unit / (8u * DEPTH), rows - 1u) * (step.k / 4u) + min(group * 8u + unit % (8u * DEPTH), last_quad);
}

fn put_x(quad: vec4<f16>, i: u32, group: u32, last_quad: u32, local: u32) {
    let unit = local + i * WORKGROUP;
    let column = unit % (8u * DEPTH);
    // Past the last group, where DEPTH does not divide their number, x is 0.
    put(TILE_X + unit / (8u * DEPTH) * PITCH + column, select(vec4<f16>(), quad, group * 8u + column <= last_quad));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_t = workgroup.y * TILE_T;
    share = workgroup.z;
    let share_groups = (step.groups + SHARE_GROUPS * grid.z - 1u) / (SHARE_GROUPS * grid.z) * SHARE_GROUPS;
    let begin = share * share_groups;
    let end = min(begin + share_groups, step.groups);
    // The corner of this subgroup's sums.
    let own_n = local / 32u % SUBGROUPS_N * (16u * WIDE);
    let own_t = local / 32u / SUBGROUPS_N * (16u * TALL);
    begin_sums(local);
    // Each is a variable of its own, and so is what is on its way: drivers keep arrays of them in memory, not in registers.
    var sum00 = no_sum();
    var sum01 = no_sum();
    var sum02 = no_sum();
    var sum03 = no_sum();
    var sum10 = no_sum();
    var sum11 = no_sum();
    var sum12 = no_sum();
    var sum13 = no_sum();
    let last = end - 1u;
    let last_quad = end * 8u - 1u;
    var row0: u32;
    var block0: Block;
    var row1: u32;
    var block1: Block;
    var row2: u32;
    var block2: Block;
    var row3: u32;
    var block3: Block;
    row0 = block_row(0u, workgroup.x, local);
    block0 = load_block(row0 + min(begin + block_column(0u, local), last));
    if OWN_BLOCKS > 1u {
        row1 = block_row(1u, workgroup.x, local);
        block1 = load_block(row1 + min(begin + block_column(1u, local), last));
    }
    if OWN_BLOCKS > 2u {
        row2 = block_row(2u, workgroup.x, local);
        block2 = load_block(row2 + min(begin + block_column(2u, local), last));
        row3 = block_row(3u, workgroup.x, local);
        block3 = load_block(row3 + min(begin + block_column(3u, local), last));
    }
    var quad0: vec4<f16>;
    var quad1: vec4<f16>;
    var quad2: vec4<f16>;
    var quad3: vec4<f16>;
    var quad4: vec4<f16>;
    var quad5: vec4<f16>;
    var quad6: vec4<f16>;
    var quad7: vec4<f16>;
    quad0 = x[x_at(0u, begin, last_quad, first_t, rows, local)];
    if OWN_QUADS > 1u {
        quad1 = x[x_at(1u, begin, last_quad, first_t, rows, local)];
    }
    if OWN_QUADS > 2u {
        quad2 = x[x_at(2u, begin, last_quad, first_t, rows, local)];
        quad3 = x[x_at(3u, begin, last_quad, first_t, rows, local)];
    }
    if OWN_QUADS > 4u {
        quad4 = x[x_at(4u, begin, last_quad, first_t, rows, local)];
        quad5 = x[x_at(5u, begin, last_quad, first_t, rows, local)];
        quad6 = x[x_at(6u, begin, last_quad, first_t, rows, local)];
        quad7 = x[x_at(7u, begin, last_quad, first_t, rows, local)];
    }
    for (var group = begin; group < end; group += DEPTH) {
        workgroupBarrier();
        put_block(block0, 0u, local);
        if OWN_BLOCKS > 1u {
            put_block(block1, 1u, local);
        }
        if OWN_BLOCKS > 2u {
            put_block(block2, 2u, local);
            put_block(block3, 3u, local);
        }
        put_x(quad0, 0u, group, last_quad, local);
        if OWN_QUADS > 1u {
            put_x(quad1, 1u, group, last_quad, local);
        }
        if OWN_QUADS > 2u {
            put_x(quad2, 2u, group, last_quad, local);
            put_x(quad3, 3u, group, last_quad, local);
        }
        if OWN_QUADS > 4u {
            put_x(quad4, 4u, group, last_quad, local);
            put_x(quad5, 5u, group, last_quad, local);
            put_x(quad6, 6u, group, last_quad, local);
            put_x(quad7, 7u, group, last_quad, local);
        }
        workgroupBarrier();
        let next = group + DEPTH;
        block0 = load_block(row0 + min(next + block_column(0u, local), last));
        if OWN_BLOCKS > 1u {
            block1 = load_block(row1 + min(next + block_column(1u, local), last));
        }
        if OWN_BLOCKS > 2u {
            block2 = load_block(row2 + min(next + block_column(2u, local), last));
            block3 = load_block(row3 + min(next + block_column(3u, local), last));
        }
        quad0 = x[x_at(0u, next, last_quad, first_t, rows, local)];
        if OWN_QUADS > 1u {
            quad1 = x[x_at(1u, next, last_quad, first_t, rows, local)];
        }
        if OWN_QUADS > 2u {
            quad2 = x[x_at(2u, next, last_quad, first_t, rows, local)];
            quad3 = x[x_at(3u, next, last_quad, first_t, rows, local)];
        }
        if OWN_QUADS > 4u {
            quad4 = x[x_at(4u, next, last_quad, first_t, rows, local)];
            quad5 = x[x_at(5u, next, last_quad, first_t, rows, local)];
            quad6 = x[x_at(6u, next, last_quad, first_t, rows, local)];
            quad7 = x[x_at(7u, next, last_quad, first_t, rows, local)];
        }
        for (var k = 0u; k < 8u * DEPTH; k += 4u) {
            let at_x = TILE_X + own_t * PITCH + k;
            let at_w = own_n * PITCH + k;
            let x0 = left(at_x, PITCH);
            let w0 = right_of_columns(at_w, PITCH);
            let w1 = right_of_columns(at_w + 16u * PITCH, PITCH);
            sum00 = multiply_add(x0, w0, sum00);
            sum01 = multiply_add(x0, w1, sum01);
            if TALL == 2u {
                let x1 = left(at_x + 16u * PITCH, PITCH);
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
            } else if WIDE == 4u {
                sum02 = multiply_add(x0, right_of_columns(at_w + 32u * PITCH, PITCH), sum02);
                sum03 = multiply_add(x0, right_of_columns(at_w + 48u * PITCH, PITCH), sum03);
            }
        }
    }
    let t = first_t + own_t;
    if WIDE == 4u {
        finish(sum00, sum02, workgroup.x, own_n, 0u, t, rows, local);
        finish(sum01, sum03, workgroup.x, own_n, 1u, t, rows, local);
        if TALL == 2u {
            finish(sum10, sum12, workgroup.x, own_n, 0u, t + 16u, rows, local);
            finish(sum11, sum13, workgroup.x, own_n, 1u, t + 16u, rows, local);
        }
    } else {
        finish(sum00, sum01, workgroup.x, own_n, 0u, t, rows, local);
        if TALL == 2u {
            finish(sum10, sum11, workgroup.x, own_n, 0u, t + 16u, rows, local);
        }
    }
}

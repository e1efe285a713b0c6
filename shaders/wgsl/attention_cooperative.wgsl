//! out[t, h] = Σ_k softmax_k(q · key_k · scale) value_k over the positions that the query sees, for many tokens on the matrix units: TOKENS
//! queries of one head at a time against tiles of KEYS positions. Sources: Vaswani et al., arXiv:1706.03762; Dao et al., arXiv:2307.08691 (the running
//! softmax); sinks, arXiv:2309.17453.
//! Grid: (tiles of up to TOKENS tokens of one segment, H). SHARE invocations share a token, SHARE / 2 subgroups the matrices of 16 tokens. The order of sums is that
//! of the positions.
//! Arithmetic: f16 products with f32 sums; softmax in f32, its weights narrowed to f16. Relative error about 1e-3.
//! Needs: f16, cooperative matrices (`matrix/`), subgroups of 32, D a multiple of 16 and of 4 · SHARE, KEYS a multiple of both, 18 to 47 KiB of
//! workgroup memory for D up to 128.
//! Expects: segment_at, key_oct, begin_sums, query_element, sink_element, put, value_quad, view_of, row_of, no_sum, left, right_of_columns, multiply_add
//! Expects: leave, has_no_weight, sees, right, capped, share_of_keys
enable f16;

const QUADS: u32 = D_PAD / 4u;
// Quads of a row of each tile, padded so that rows start in different banks.
const PITCH: u32 = QUADS + 2u;
const WEIGHTS_PITCH: u32 = KEYS / 4u + 2u;
const WIDEST: u32 = max(QUADS, KEYS / 4u);
const SUMS_PITCH: u32 = WIDEST + 1u;
// Quads of a head that an invocation sums, and of its token's scores that it weighs.
const OWN: u32 = QUADS / SHARE;
const OWN_SCORES: u32 = KEYS / 4u / SHARE;
// Octs of keys and quads of values of a tile of positions that it brings.
const OWN_KEYS: u32 = (KEYS * QUADS / 2u + WORKGROUP - 1u) / WORKGROUP;
const OWN_VALUES: u32 = (KEYS * QUADS + WORKGROUP - 1u) / WORKGROUP;
// Queries, keys and later values of a tile of positions, weights.
const TILE: u32 = TOKENS * PITCH;
const WEIGHTS: u32 = TILE + KEYS * PITCH;
const TILE_QUADS: u32 = WEIGHTS + TOKENS * WEIGHTS_PITCH;
// Scores, then sums of values, of each token.
const SUM_QUADS: u32 = TOKENS * SUMS_PITCH;

var<workgroup> positions: array<i32, KEYS>;

fn sum_quad(at: u32) -> vec4<f32> {
    let first = at * 4u;
    return vec4(sums[first], sums[first + 1u], sums[first + 2u], sums[first + 3u]);
}

struct HalfOct {
    a: vec4<f16>,
    b: vec4<f16>,
}

// The row of a position of a tile, which begins at `begin`. Positions past the region repeat its last one, and are seen by no query.
fn row_in_tile(segment: Segment, i: u32, g: u32, begin: u32, region_end: u32) -> u32 {
    return row_of(segment, min(begin + i, region_end - 1u), g);
}

fn key_of(segment: Segment, unit: u32, g: u32, begin: u32, region_end: u32) -> HalfOct {
    let key = key_oct(row_in_tile(segment, unit / (QUADS / 2u), g, begin, region_end), unit % (QUADS / 2u));
    return HalfOct(vec4<f16>(key.a), vec4<f16>(key.b));
}

// Over the invocations that share a token.
fn of_token_max(own: f32) -> f32 {
    var most = own;
    for (var distance = 1u; distance < SHARE; distance *= 2u) {
        most = max(most, subgroupShuffleXor(most, distance));
    }
    return most;
}

fn of_token_sum(own: f32) -> f32 {
    var sum = own;
    for (var distance = 1u; distance < SHARE; distance *= 2u) {
        sum += subgroupShuffleXor(sum, distance);
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // Segments of one row come first, and are another kernel's.
    var index = 0u;
    var tile = workgroup.x;
    if MANY {
        index = run_u32(2u);
        var n_tiles = (segment_at(index).n_rows + TOKENS - 1u) / TOKENS;
        while tile >= n_tiles {
            tile -= n_tiles;
            index++;
            n_tiles = (segment_at(index).n_rows + TOKENS - 1u) / TOKENS;
        }
    }
    let segment = segment_at(index);
    let first_token = segment.first_row + tile * TOKENS;
    let rows = segment.first_row + segment.n_rows;
    let h = workgroup.y;
    let g = h / step.group;
    // Of the tile's first token, and the segment's last.
    let first_position = segment.position + tile * TOKENS;
    let last = segment.position + segment.n_rows - 1u;
    let window = run_u32(step.window);
    let scale = run_f32(step.scale);
    let own_row = local / SHARE;
    let part = local % SHARE;
    let p = first_position + own_row;
    // The first of this subgroup's tokens, and the first of its matrices' columns.
    let subgroup_row = local / (16u * SHARE) * 16u;
    let subgroup_column = local / 32u % (SHARE / 2u) * 16u;
    // Sinks are a region of their own where queries are rotated against them, and where positions between them and the others are out of view.
    let end = min(last, first_position + TOKENS - 1u) + 1u;
    let view = view_of(segment, first_position, end - 1u, window);
    let apart = last >= segment.window || view.recent > segment.sinks;
    let n_sinks = select(0u, view.n_sinks, apart);

    begin_sums(local);
    var own_keys: array<HalfOct, OWN_KEYS>;
    var own_values: array<vec4<f16>, OWN_VALUES>;
    var own_sums: array<vec4<f32>, OWN>;
    var largest = LOWEST;
    var total = 0.0;
    // Region 0 holds the sinks, whose queries are rotated once more.
    for (var region = 0u; region < 2u; region++) {
        let region_begin = select(0u, view.recent, apart && region == 1u);
        let region_end = select(end, n_sinks, region == 0u);
        if region_begin < region_end {
            for (var i = 0u; i < OWN_KEYS; i++) {
                own_keys[i] = key_of(segment, local + i * WORKGROUP, g, region_begin, region_end);
            }
            for (var i = local; i < TOKENS * QUADS; i += WORKGROUP) {
                let t = min(first_token + i / QUADS, rows - 1u);
                let first = (t * step.n_heads + h) * step.head_dim;
                let d = i % QUADS * 4u;
                var v = vec4(query_element(first, d), query_element(first, d + 1u), query_element(first, d + 2u), query_element(first, d + 3u));
                if region == 0u {
                    v = vec4(sink_element(first, t, d), sink_element(first, t, d + 1u), sink_element(first, t, d + 2u), sink_element(first, t, d + 3u));
                }
                put(i / QUADS * PITCH + i % QUADS, vec4<f16>(within_f16(v * scale)));
            }
        }
        for (var begin = region_begin; begin < region_end; begin += KEYS) {
            for (var i = 0u; i < OWN_KEYS; i++) {
                let unit = local + i * WORKGROUP;
                if unit < KEYS * QUADS / 2u {
                    let at = TILE + unit / (QUADS / 2u) * PITCH + unit % (QUADS / 2u) * 2u;
                    put(at, own_keys[i].a);
                    put(at + 1u, own_keys[i].b);
                }
            }
            // Values are on their way while scores are computed, the next keys while values are summed.
            for (var i = 0u; i < OWN_VALUES; i++) {
                let unit = local + i * WORKGROUP;
                own_values[i] = vec4<f16>(value_quad(row_in_tile(segment, unit / QUADS, g, begin, region_end), unit % QUADS));
            }
            for (var i = local; i < KEYS; i += WORKGROUP) {
                positions[i] = select(-1, i32(begin + i), begin + i < region_end);
            }
            workgroupBarrier();
            for (var column = subgroup_column; column < KEYS; column += 8u * SHARE) {
                var scores = no_sum();
                for (var d = 0u; d < QUADS; d += 4u) {
                    let queries = left(subgroup_row * PITCH + d, PITCH);
                    let keys = right_of_columns(TILE + column * PITCH + d, PITCH);
                    scores = multiply_add(queries, keys, scores);
                }
                leave(scores, subgroup_row * SUMS_PITCH + column / 4u, SUMS_PITCH);
            }
            workgroupBarrier();
            for (var i = 0u; i < OWN_VALUES; i++) {
                let unit = local + i * WORKGROUP;
                if unit < KEYS * QUADS {
                    put(TILE + unit / QUADS * PITCH + unit % QUADS, own_values[i]);
                }
            }
            for (var i = 0u; i < OWN_KEYS; i++) {
                own_keys[i] = key_of(segment, local + i * WORKGROUP, g, begin + KEYS, region_end);
            }
            var scores: array<vec4<f32>, OWN_SCORES>;
            var most = LOWEST;
            for (var i = 0u; i < OWN_SCORES; i++) {
                let column = part * OWN_SCORES + i;
                var score = sum_quad(own_row * SUMS_PITCH + column);
                for (var j = 0u; j < 4u; j++) {
                    score[j] = capped(score[j]);
                    score[j] = select(LOWEST, select(max(score[j], LOWEST), score[j], has_no_weight(score[j])), sees(segment, p, positions[column * 4u + j], window));
                }
                scores[i] = score;
                most = max(most, max(max(score.x, score.y), max(score.z, score.w)));
            }
            let next = max(largest, of_token_max(most));
            let rescale = exp_f32(max(largest - next, -80.0));
            largest = next;
            var sum = 0.0;
            for (var i = 0u; i < OWN_SCORES; i++) {
                var weight: vec4<f32>;
                for (var j = 0u; j < 4u; j++) {
                    let score = scores[i][j];
                    // A score without a number is its own weight, and shows in the sum.
                    weight[j] = select(exp_f32(max(score - largest, -80.0)), 0.0, score <= LOWEST);
                    weight[j] = select(weight[j], score, has_no_weight(score));
                }
                put(WEIGHTS + own_row * WEIGHTS_PITCH + part * OWN_SCORES + i, vec4<f16>(weight));
                sum += weight.x + weight.y + weight.z + weight.w;
            }
            total = total * rescale + of_token_sum(sum);
            workgroupBarrier();
            for (var column = subgroup_column / 4u; column < QUADS; column += 2u * SHARE) {
                var product = no_sum();
                for (var key = 0u; key < KEYS; key += 16u) {
                    let weights = left(WEIGHTS + subgroup_row * WEIGHTS_PITCH + key / 4u, WEIGHTS_PITCH);
                    let values = right(TILE + key * PITCH + column, PITCH);
                    product = multiply_add(weights, values, product);
                }
                leave(product, subgroup_row * SUMS_PITCH + column, SUMS_PITCH);
            }
            workgroupBarrier();
            for (var i = 0u; i < OWN; i++) {
                own_sums[i] = own_sums[i] * rescale + sum_quad(own_row * SUMS_PITCH + part * OWN + i);
            }
        }
        // The next region's queries replace these.
        workgroupBarrier();
    }
    let t = first_token + own_row;
    if t < rows {
        let inverse = select(share_of_keys(h, largest, total) / total, 0.0, bitcast<u32>(total) == 0u);
        for (var i = 0u; i < OWN; i++) {
            for (var j = 0u; j < 4u; j++) {
                let d = (part * OWN + i) * 4u + j;
                if d < step.head_dim {
                    out[(t * step.n_heads + h) * step.head_dim + d] = own_sums[i][j] * inverse;
                }
            }
        }
    }
}

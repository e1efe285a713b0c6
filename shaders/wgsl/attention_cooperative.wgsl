//! out[t, h] = Σ_k softmax_k(q · key_k · scale) value_k over the slots that the query sees, for many tokens on the matrix units: TOKENS queries
//! of one head at a time against tiles of SLOTS slots. Sources: Vaswani et al., arXiv:1706.03762; Dao et al., arXiv:2307.08691 (the running
//! softmax); sinks, arXiv:2309.17453.
//! Grid: (tiles of TOKENS tokens, H), a subgroup for each 16 tokens. The order of sums is that of the slots.
//! Arithmetic: f16 products with f32 sums; softmax in f32, its weights narrowed to f16. Relative error about 1e-3.
//! Needs: f16, cooperative matrices (`matrix/`), subgroups of 32, D a multiple of 16 and at most 128, SLOTS of 16 and more, 23 to 48 KiB of
//! workgroup memory.
enable f16;

const QUADS: u32 = D_PAD / 4u;
// Quads of a row of each tile, padded so that rows start in different banks.
const PITCH: u32 = QUADS + 2u;
const WEIGHTS_PITCH: u32 = SLOTS / 4u + 2u;
const WIDEST: u32 = max(QUADS, SLOTS / 4u);
const SUMS_PITCH: u32 = WIDEST + 1u;
// Quads of a head that an invocation sums: two share a token.
const OWN: u32 = QUADS / 2u;
// Quads of a token's scores that one of them weighs.
const OWN_SCORES: u32 = SLOTS / 8u;
// Queries, keys and later values of a tile of slots, weights.
const TILE: u32 = TOKENS * PITCH;
const WEIGHTS: u32 = TILE + SLOTS * PITCH;
const TILE_QUADS: u32 = WEIGHTS + TOKENS * WEIGHTS_PITCH;
// Scores, then sums of values, of each token.
const SUM_QUADS: u32 = TOKENS * SUMS_PITCH;

var<workgroup> positions: array<i32, SLOTS>;

fn sum_quad(at: u32) -> vec4<f32> {
    let first = at * 4u;
    return vec4(sums[first], sums[first + 1u], sums[first + 2u], sums[first + 3u]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_token = workgroup.x * TOKENS;
    let h = workgroup.y;
    let g = h / step.group;
    let first_position = run_u32(step.position);
    let last = first_position + rows - 1u;
    let n_slots = min(last + 1u, step.slots);
    let window = run_u32(step.window_word);
    let scale = run_f32(step.scale);
    // Two invocations to a token, each with half of its scores and half of its sums.
    let own_row = local / 2u;
    let half = local % 2u;
    let p = first_position + first_token + own_row;
    let subgroup_row = local / 32u * 16u;
    // Until the ring is full, slots are positions and the rotation against sinks is none: one region, up to the last query's own slot.
    let is_full = last >= step.window;
    let n_sinks = select(0u, min(step.sinks, n_slots), is_full);
    let end = select(min(n_slots, first_position + first_token + TOKENS), n_slots, is_full);

    begin_sums(local);
    var own_sums: array<vec4<f32>, OWN>;
    var largest = LOWEST;
    var total = 0.0;
    // Region 0 holds the sinks, whose queries are rotated once more.
    for (var region = 0u; region < 2u; region++) {
        let region_begin = select(n_sinks, 0u, region == 0u);
        let region_end = select(end, n_sinks, region == 0u);
        if region_begin < region_end {
            for (var i = local; i < TOKENS * QUADS; i += WORKGROUP) {
                let t = min(first_token + i / QUADS, rows - 1u);
                let first = (t * step.n_heads + h) * step.head_dim;
                let d = i % QUADS * 4u;
                var v = vec4(query_element(first, d), query_element(first, d + 1u), query_element(first, d + 2u), query_element(first, d + 3u));
                if region == 0u {
                    v = vec4(sink_element(first, t, d), sink_element(first, t, d + 1u), sink_element(first, t, d + 2u), sink_element(first, t, d + 3u));
                }
                put(i / QUADS * PITCH + i % QUADS, vec4<f16>(clamp(v * scale, vec4(-65504.0), vec4(65504.0))));
            }
        }
        for (var begin = region_begin; begin < region_end; begin += SLOTS) {
            // Slots past the region repeat its last one, which was written, and are seen by no query.
            let first_row = g * step.slots;
            for (var i = local; i < SLOTS * QUADS / 2u; i += WORKGROUP) {
                let key = key_oct(first_row + min(begin + i / (QUADS / 2u), region_end - 1u), i % (QUADS / 2u));
                let at = TILE + i / (QUADS / 2u) * PITCH + i % (QUADS / 2u) * 2u;
                put(at, vec4<f16>(key.a));
                put(at + 1u, vec4<f16>(key.b));
            }
            for (var i = local; i < SLOTS; i += WORKGROUP) {
                let slot = begin + i;
                positions[i] = select(-1, ring_position(slot, last, step.sinks, step.slots), slot < region_end);
            }
            workgroupBarrier();
            for (var column = 0u; column < SLOTS; column += 16u) {
                var scores = no_sum();
                for (var d = 0u; d < QUADS; d += 4u) {
                    let queries = left(subgroup_row * PITCH + d, PITCH);
                    let keys = right_of_columns(TILE + column * PITCH + d, PITCH);
                    scores = multiply_add(queries, keys, scores);
                }
                leave(scores, subgroup_row * SUMS_PITCH + column / 4u, SUMS_PITCH);
            }
            workgroupBarrier();
            for (var i = local; i < SLOTS * QUADS; i += WORKGROUP) {
                let row = first_row + min(begin + i / QUADS, region_end - 1u);
                put(TILE + i / QUADS * PITCH + i % QUADS, vec4<f16>(value_quad(row, i % QUADS)));
            }
            var scores: array<vec4<f32>, OWN_SCORES>;
            var most = LOWEST;
            for (var i = 0u; i < OWN_SCORES; i++) {
                let column = half * OWN_SCORES + i;
                var score = sum_quad(own_row * SUMS_PITCH + column);
                for (var j = 0u; j < 4u; j++) {
                    score[j] = select(LOWEST, max(score[j], LOWEST), sees(p, positions[column * 4u + j], window));
                }
                scores[i] = score;
                most = max(most, max(max(score.x, score.y), max(score.z, score.w)));
            }
            let next = max(largest, max(most, subgroupShuffleXor(most, 1u)));
            let rescale = exp_f32(max(largest - next, -80.0));
            largest = next;
            var sum = 0.0;
            for (var i = 0u; i < OWN_SCORES; i++) {
                var weight: vec4<f32>;
                for (var j = 0u; j < 4u; j++) {
                    let score = scores[i][j];
                    weight[j] = select(exp_f32(max(score - largest, -80.0)), 0.0, score <= LOWEST);
                }
                put(WEIGHTS + own_row * WEIGHTS_PITCH + half * OWN_SCORES + i, vec4<f16>(weight));
                sum += weight.x + weight.y + weight.z + weight.w;
            }
            total = total * rescale + sum + subgroupShuffleXor(sum, 1u);
            workgroupBarrier();
            for (var column = 0u; column < QUADS; column += 4u) {
                var product = no_sum();
                for (var slot = 0u; slot < SLOTS; slot += 16u) {
                    let weights = left(WEIGHTS + subgroup_row * WEIGHTS_PITCH + slot / 4u, WEIGHTS_PITCH);
                    let values = right(TILE + slot * PITCH + column, PITCH);
                    product = multiply_add(weights, values, product);
                }
                leave(product, subgroup_row * SUMS_PITCH + column, SUMS_PITCH);
            }
            workgroupBarrier();
            for (var i = 0u; i < OWN; i++) {
                own_sums[i] = own_sums[i] * rescale + sum_quad(own_row * SUMS_PITCH + half * OWN + i);
            }
        }
        // The next region's queries replace these.
        workgroupBarrier();
    }
    let t = first_token + own_row;
    if t < rows {
        let inverse = select(0.0, 1.0 / total, total > 0.0);
        for (var i = 0u; i < OWN; i++) {
            for (var j = 0u; j < 4u; j++) {
                let d = (half * OWN + i) * 4u + j;
                if d < step.head_dim {
                    out[(t * step.n_heads + h) * step.head_dim + d] = own_sums[i][j] * inverse;
                }
            }
        }
    }
}

//! out[t, h] = Σ_k softmax_k(q · key_k · scale) value_k over the slots that the query sees, GROUP query heads of one key-value head at a
//! time (a divisor of H / G), the ring split into parts of `split` slots. Each part keeps a running maximum and sum; more than one part is merged by
//! `attention_merge`. Sources: Vaswani et al., arXiv:1706.03762; Dao et al., arXiv:2307.08691 (the running softmax); sinks, arXiv:2309.17453.
//! Grid: (splits, H / GROUP, T). The split depends on the number of slots in use alone, so the order of sums is fixed.
//! Arithmetic: f32, the cache's type widened; masked scores are never exponentiated. Relative error about 1e-6. Needs: nothing.

struct Step {
    rows: u32,
    dynamic: u32,
    n_heads: u32,
    // The run's words of scale, window and position.
    scale: u32,
    window_word: u32,
    position: u32,
    // W, s, R of the ring.
    window: u32,
    sinks: u32,
    slots: u32,
    // G · R
    kv_rows: u32,
    head_dim: u32,
    // Rotation of the query against sinks; n_dims 0: none.
    n_dims: u32,
    neox: u32,
    max_splits: u32,
    // H / G
    group: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, H, D]
@group(0) @binding(2) var<storage, read> q: array<f32>;
// [T, H, D]
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
// [T, H, max_splits, D + 2]: unnormalized sums, then maximum and sum of weights
@group(0) @binding(6) var<storage, read_write> parts: array<f32>;
// [T, n_dims / 2], read where n_dims is not 0
@group(0) @binding(7) var<storage, read> sink_table: array<vec2<f32>>;

const TILE: u32 = 64u;
const LOWEST: f32 = -1e30;
const ITEMS: u32 = GROUP * (D_PAD / 4u);
const ITEMS_EACH: u32 = (ITEMS + WORKGROUP - 1u) / WORKGROUP;

// The queries of the group as they are, then rotated against sinks.
var<workgroup> queries: array<vec4<f32>, 2u * GROUP * (D_PAD / 4u)>;
var<workgroup> scores: array<f32, GROUP * TILE>;
var<workgroup> maxima: array<f32, GROUP>;
var<workgroup> rescale: array<f32, GROUP>;
var<workgroup> totals: array<f32, GROUP>;

fn query_element(first: u32, d: u32) -> f32 {
    return select(0.0, q[first + min(d, step.head_dim - 1u)], d < step.head_dim);
}

fn sink_element(first: u32, t: u32, d: u32) -> f32 {
    let own = query_element(first, d);
    if d >= step.n_dims {
        return own;
    }
    let half = step.n_dims / 2u;
    let neox = step.neox == 1u;
    let second = select((d & 1u) == 1u, d >= half, neox);
    let partner = select(d ^ 1u, select(d + half, d - min(d, half), d >= half), neox);
    let turn = sink_table[t * half + select(d / 2u, d % half, neox)];
    let other = query_element(first, partner);
    return own * turn.x + select(-other, other, second) * turn.y;
}

fn load_queries(t: u32, first_head: u32, local: u32) {
    for (var i = local; i < ITEMS; i += WORKGROUP) {
        let first = (t * step.n_heads + first_head + i / (D_PAD / 4u)) * step.head_dim;
        let d = i % (D_PAD / 4u) * 4u;
        queries[i] = vec4(query_element(first, d), query_element(first, d + 1u), query_element(first, d + 2u), query_element(first, d + 3u));
        queries[ITEMS + i] =
            vec4(sink_element(first, t, d), sink_element(first, t, d + 1u), sink_element(first, t, d + 2u), sink_element(first, t, d + 3u));
    }
}

// Whether the query at p sees the key at k.
fn sees(p: u32, k: i32, window: u32) -> bool {
    if k < 0 || u32(k) > p {
        return false;
    }
    let age = p - u32(k);
    return (age < step.window - step.sinks || u32(k) < step.sinks) && (window == 0u || age < window);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_head = workgroup.y * GROUP;
    let g = first_head / step.group;
    let t = workgroup.z;
    let first_position = run_u32(step.position);
    let p = first_position + t;
    let last = first_position + rows - 1u;
    let n_slots = min(last + 1u, step.slots);
    let split = (((n_slots + grid.x - 1u) / grid.x + TILE - 1u) / TILE) * TILE;
    let begin = min(workgroup.x * split, n_slots);
    let end = min(begin + split, n_slots);
    let window = run_u32(step.window_word);
    let scale = run_f32(step.scale);
    load_queries(t, first_head, local);
    if local < GROUP {
        maxima[local] = LOWEST;
        totals[local] = 0.0;
    }
    var acc: array<vec4<f32>, ITEMS_EACH>;
    for (var tile = begin; tile < end; tile += TILE) {
        workgroupBarrier();
        for (var i = local; i < GROUP * TILE; i += WORKGROUP) {
            let slot = tile + i % TILE;
            var score = LOWEST;
            if slot < end && sees(p, ring_position(slot, last, step.sinks, step.slots), window) {
                let first = i / TILE * (D_PAD / 4u) + select(0u, ITEMS, slot < step.sinks);
                var sums = vec4(0.0);
                for (var oct = 0u; oct < D_PAD / 8u; oct++) {
                    let key = key_oct(g * step.slots + slot, oct);
                    sums = fma(queries[first + 2u * oct], key.a, sums);
                    sums = fma(queries[first + 2u * oct + 1u], key.b, sums);
                }
                score = max((sums.x + sums.y + sums.z + sums.w) * scale, LOWEST);
            }
            scores[i] = score;
        }
        workgroupBarrier();
        if local < GROUP {
            var largest = maxima[local];
            for (var j = 0u; j < TILE; j++) {
                largest = max(largest, scores[local * TILE + j]);
            }
            rescale[local] = exp_f32(max(maxima[local] - largest, -80.0));
            maxima[local] = largest;
        }
        workgroupBarrier();
        for (var i = local; i < GROUP * TILE; i += WORKGROUP) {
            let score = scores[i];
            scores[i] = select(exp_f32(max(score - maxima[i / TILE], -80.0)), 0.0, score <= LOWEST);
        }
        workgroupBarrier();
        if local < GROUP {
            var total = totals[local] * rescale[local];
            for (var j = 0u; j < TILE; j++) {
                total += scores[local * TILE + j];
            }
            totals[local] = total;
        }
        for (var e = 0u; e < ITEMS_EACH; e++) {
            let item = local + e * WORKGROUP;
            if item < ITEMS {
                let h = item / (D_PAD / 4u);
                var sum = acc[e] * rescale[h];
                for (var j = 0u; j < min(TILE, end - tile); j++) {
                    let weight = scores[h * TILE + j];
                    // A slot that no query sees may never have been written: its bits are not looked at.
                    if weight > 0.0 {
                        sum += weight * value_quad(g * step.slots + tile + j, item % (D_PAD / 4u));
                    }
                }
                acc[e] = sum;
            }
        }
    }
    workgroupBarrier();
    for (var e = 0u; e < ITEMS_EACH; e++) {
        let item = local + e * WORKGROUP;
        if item < ITEMS {
            let h = item / (D_PAD / 4u);
            let d = item % (D_PAD / 4u) * 4u;
            let row = t * step.n_heads + first_head + h;
            let total = totals[h];
            let last_only = select(1.0, 1.0 / total, grid.x == 1u && total > 0.0);
            for (var i = 0u; i < 4u; i++) {
                if d + i < step.head_dim {
                    if grid.x == 1u {
                        out[row * step.head_dim + d + i] = acc[e][i] * last_only;
                    } else {
                        parts[(row * step.max_splits + workgroup.x) * (step.head_dim + 2u) + d + i] = acc[e][i];
                    }
                }
            }
        }
    }
    if grid.x > 1u && local < GROUP {
        let row = t * step.n_heads + first_head + local;
        let at = (row * step.max_splits + workgroup.x) * (step.head_dim + 2u) + step.head_dim;
        parts[at] = maxima[local];
        parts[at + 1u] = totals[local];
    }
}

//! out[t, h] = Σ_k softmax_k(q · key_k · scale) value_k over the positions that the query sees, GROUP query heads of one key-value head at a
//! time (a divisor of H / G), the positions in view split into parts of `split`. A tile of WORKGROUP positions is scored one an invocation; a running
//! maximum and sum go from tile to tile; more than one part is joined by `parts/merge`. Sources: Vaswani et al., arXiv:1706.03762; Dao et al., arXiv:2307.08691 (the running softmax); sinks, arXiv:2309.17453.
//! Grid: (most parts of a row, H / GROUP, T). Parts depend on the number of positions that the row sees alone, so the order of sums is fixed
//! whatever other rows the run has.
//! Arithmetic: f32, the cache's type widened; masked scores are never exponentiated. Relative error about 1e-6. Needs: nothing.
//! Expects: query_element, sink_element, segment_of, view_of, sees, row_of, key_oct, workgroup_max, has_no_weight, value_quad, last_to_arrive, merge_parts
//! Expects: capped, share_of_keys

// Quads of a head, and the invocations that share a quad of the values.
const QUADS: u32 = D_PAD / 4u;
const SHARES: u32 = WORKGROUP / QUADS;
const ITEMS: u32 = GROUP * QUADS;
// Values of a quad that an invocation asks for at a time.
const BATCH: u32 = 8u;

// The queries of the group as they are, then rotated against sinks.
var<workgroup> queries: array<vec4<f32>, 2u * ITEMS>;
var<workgroup> weights: array<f32, GROUP * WORKGROUP>;
var<workgroup> sums: array<vec4<f32>, GROUP * WORKGROUP>;
var<workgroup> totals: array<f32, GROUP * SHARES>;
// The rows of a tile's keys and values.
var<workgroup> tile_rows: array<u32, WORKGROUP>;

// `turned`: those against sinks too.
fn load_queries(t: u32, first_head: u32, turned: bool, local: u32) {
    for (var i = local; i < ITEMS; i += WORKGROUP) {
        let first = (t * step.n_heads + first_head + i / QUADS) * step.head_dim;
        let d = i % QUADS * 4u;
        queries[i] = vec4(query_element(first, d), query_element(first, d + 1u), query_element(first, d + 2u), query_element(first, d + 3u));
        if turned {
            queries[ITEMS + i] =
                vec4(sink_element(first, t, d), sink_element(first, t, d + 1u), sink_element(first, t, d + 2u), sink_element(first, t, d + 3u));
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first_head = workgroup.y * GROUP;
    let g = first_head / step.group;
    let t = workgroup.z;
    let segment = segment_of(t);
    let p = segment.position + t - segment.first_row;
    let window = run_u32(step.window);
    // The positions in view, one after the other: sinks, then the others.
    let view = view_of(segment, p, p, window);
    let n_seen = view.n_sinks + p + 1u - view.recent;
    let n_parts = clamp((n_seen + SPLIT - 1u) / SPLIT, 1u, step.max_splits);
    if workgroup.x >= n_parts {
        return;
    }
    let split = ((n_seen + n_parts - 1u) / n_parts + WORKGROUP - 1u) / WORKGROUP * WORKGROUP;
    let begin = min(workgroup.x * split, n_seen);
    let end = min(begin + split, n_seen);
    let scale = run_f32(step.scale);
    let quad = local % QUADS;
    let share = local / QUADS;
    // Until the window is full the rotation against sinks is none.
    let turned = p >= segment.window;
    load_queries(t, first_head, turned, local);
    workgroupBarrier();
    var acc: array<vec4<f32>, GROUP>;
    var total: array<f32, GROUP>;
    var maxima: array<f32, GROUP>;
    for (var h = 0u; h < GROUP; h++) {
        maxima[h] = LOWEST;
    }
    for (var tile = begin; tile < end; tile += WORKGROUP) {
        // One position an invocation. Those past the end repeat the last one and count as unseen.
        let i = min(tile + local, end - 1u);
        let k = select(view.recent + i - view.n_sinks, i, i < view.n_sinks);
        let seen = tile + local < end && sees(segment, p, i32(k), window);
        let first = select(0u, ITEMS, turned && k < segment.sinks);
        let row = row_of(segment, k, g);
        var products: array<vec4<f32>, GROUP>;
        for (var oct = 0u; oct < D_PAD / 8u; oct++) {
            let key = key_oct(row, oct);
            for (var h = 0u; h < GROUP; h++) {
                products[h] = fma(queries[first + h * QUADS + 2u * oct], key.a, products[h]);
                products[h] = fma(queries[first + h * QUADS + 2u * oct + 1u], key.b, products[h]);
            }
        }
        for (var h = 0u; h < GROUP; h += 4u) {
            var score = vec4(LOWEST);
            var raw: vec4<f32>;
            for (var i = 0u; i < min(GROUP - h, 4u); i++) {
                let v = products[h + i];
                raw[i] = capped((v.x + v.y + v.z + v.w) * scale);
                score[i] = select(LOWEST, max(raw[i], LOWEST), seen);
            }
            let most = workgroup_max(score, local);
            for (var i = 0u; i < min(GROUP - h, 4u); i++) {
                let largest = max(maxima[h + i], most[i]);
                let rescale = exp_f32(max(maxima[h + i] - largest, -80.0));
                maxima[h + i] = largest;
                acc[h + i] *= rescale;
                total[h + i] *= rescale;
                // A score without a number is its own weight, and shows in the sum.
                let weight = select(exp_f32(max(score[i] - largest, -80.0)), raw[i], has_no_weight(raw[i]));
                weights[(h + i) * WORKGROUP + local] = select(0.0, weight, seen);
            }
        }
        tile_rows[local] = row;
        workgroupBarrier();
        if share < SHARES {
            // Batches of a constant length are read all at once. What lies past the end has no weight, and past the tile neither
            // position nor weight.
            let n = min(WORKGROUP, end - tile);
            for (var first = share; first < n; first += BATCH * SHARES) {
                for (var i = 0u; i < BATCH; i++) {
                    let j = first + i * SHARES;
                    let v = value_quad(tile_rows[min(j, WORKGROUP - 1u)], quad);
                    for (var h = 0u; h < GROUP; h++) {
                        let weight = select(0.0, weights[h * WORKGROUP + min(j, WORKGROUP - 1u)], j < n);
                        acc[h] += weight * v;
                        total[h] += weight;
                    }
                }
            }
        }
    }
    for (var h = 0u; h < GROUP; h++) {
        sums[h * WORKGROUP + local] = acc[h];
        if quad == 0u && share < SHARES {
            totals[h * SHARES + share] = total[h];
        }
    }
    workgroupBarrier();
    for (var item = local; item < ITEMS; item += WORKGROUP) {
        let h = item / QUADS;
        let d = item % QUADS * 4u;
        var sum = vec4(0.0);
        var all = 0.0;
        for (var i = 0u; i < SHARES; i++) {
            sum += sums[h * WORKGROUP + i * QUADS + item % QUADS];
            all += totals[h * SHARES + i];
        }
        let row = t * step.n_heads + first_head + h;
        if n_parts == 1u {
            sum *= select(share_of_keys(first_head + h, maxima[h], all) / all, 0.0, bitcast<u32>(all) == 0u);
        }
        let part = (row * step.max_splits + workgroup.x) * (step.head_dim + 2u);
        for (var i = 0u; i < 4u; i++) {
            if d + i < step.head_dim {
                if n_parts == 1u {
                    out[row * step.head_dim + d + i] = sum[i];
                } else {
                    parts[part + d + i] = sum[i];
                }
            }
        }
        if n_parts > 1u && d == 0u {
            parts[part + step.head_dim] = maxima[h];
            parts[part + step.head_dim + 1u] = all;
        }
    }
    if n_parts > 1u {
        if last_to_arrive(t * grid.y + workgroup.y, n_parts, local) {
            merge_parts(t * step.n_heads + first_head, n_parts, local);
        }
    }
}

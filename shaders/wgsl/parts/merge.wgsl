//! Joining the parts of attention: out = Σ_i e^(m_i - m) acc_i / Σ_i e^(m_i - m) l_i, parts in order.
//! Source: Dao et al., arXiv:2307.08691 (the running softmax, across parts).
//! Expects: share_of_keys

// Parts that an invocation asks for at a time, with all that it needs of them.
const PART_BATCH: u32 = 8u;

// GROUP heads from row `t · H + head` on, by all invocations.
fn merge_parts(row: u32, n_parts: u32, local: u32) {
    let width = step.head_dim + 2u;
    for (var item = local; item < GROUP * step.head_dim; item += WORKGROUP) {
        let first = (row + item / step.head_dim) * step.max_splits * width;
        let d = item % step.head_dim;
        var largest = LOWEST;
        var sum = 0.0;
        var total = 0.0;
        for (var batch = 0u; batch < n_parts; batch += PART_BATCH) {
            var values: array<f32, PART_BATCH>;
            var maxima: array<f32, PART_BATCH>;
            var totals: array<f32, PART_BATCH>;
            for (var i = 0u; i < PART_BATCH; i++) {
                // Those past the last repeat it, without weight.
                let part = first + min(batch + i, n_parts - 1u) * width;
                values[i] = parts[part + d];
                maxima[i] = parts[part + step.head_dim];
                totals[i] = parts[part + step.head_dim + 1u];
            }
            let before = largest;
            for (var i = 0u; i < PART_BATCH; i++) {
                largest = max(largest, maxima[i]);
            }
            let rescale = exp_f32(max(before - largest, -80.0));
            sum *= rescale;
            total *= rescale;
            for (var i = 0u; i < PART_BATCH; i++) {
                // A part in which nothing is seen holds zeros.
                let weight = select(0.0, exp_f32(max(maxima[i] - largest, -80.0)), batch + i < n_parts);
                sum += weight * values[i];
                total += weight * totals[i];
            }
        }
        let share = share_of_keys((row + item / step.head_dim) % step.n_heads, largest, total);
        out[row * step.head_dim + item] = select(sum / total * share, 0.0, bitcast<u32>(total) == 0u);
    }
}

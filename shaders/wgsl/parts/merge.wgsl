//! Joining the parts of attention: out = Σ_i e^(m_i - m) acc_i / Σ_i e^(m_i - m) l_i, parts in order.
//! Source: Dao et al., arXiv:2307.08691 (the running softmax, across parts).

// Elements of a part that an invocation asks for at a time.
const PART_BATCH: u32 = 8u;

var<workgroup> part_maxima: array<f32, GROUP * MAX_SPLITS>;
var<workgroup> part_totals: array<f32, GROUP * MAX_SPLITS>;

// GROUP heads from row `t · H + head` on, by all invocations.
fn merge_parts(row: u32, n_parts: u32, local: u32) {
    let width = step.head_dim + 2u;
    for (var i = local; i < GROUP * n_parts; i += WORKGROUP) {
        let part = ((row + i / n_parts) * step.max_splits + i % n_parts) * width + step.head_dim;
        part_maxima[i] = parts[part];
        part_totals[i] = parts[part + 1u];
    }
    workgroupBarrier();
    for (var item = local; item < GROUP * step.head_dim; item += WORKGROUP) {
        let h = item / step.head_dim;
        let first = (row + h) * step.max_splits * width + item % step.head_dim;
        var largest = LOWEST;
        for (var i = 0u; i < n_parts; i++) {
            largest = max(largest, part_maxima[h * n_parts + i]);
        }
        var sum = 0.0;
        var total = 0.0;
        for (var batch = 0u; batch < n_parts; batch += PART_BATCH) {
            var values: array<f32, PART_BATCH>;
            for (var i = 0u; i < PART_BATCH; i++) {
                // Those past the last repeat it, without weight.
                values[i] = parts[first + min(batch + i, n_parts - 1u) * width];
            }
            for (var i = 0u; i < PART_BATCH; i++) {
                let at = h * n_parts + min(batch + i, n_parts - 1u);
                // A part in which nothing is seen holds zeros.
                let weight = select(0.0, exp_f32(max(part_maxima[at] - largest, -80.0)), batch + i < n_parts);
                sum += weight * values[i];
                total += weight * part_totals[at];
            }
        }
        out[row * step.head_dim + item] = select(0.0, sum / total, total > 0.0);
    }
}

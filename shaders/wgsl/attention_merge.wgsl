//! Joins the parts of `attention`: out = Σ_i e^(m_i - m) acc_i / Σ_i e^(m_i - m) l_i, parts in order.
//! Grid: (H, T), one invocation for each element of a head. Arithmetic: f32, fixed order. Needs: nothing.

struct Step {
    n_heads: u32,
    head_dim: u32,
    max_splits: u32,
    // The run's words: position; the ring's slots.
    position: u32,
    slots: u32,
    rows: u32,
    dynamic: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, H, max_splits, D + 2]
@group(0) @binding(2) var<storage, read> parts: array<f32>;
// [T, H, D]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

const LOWEST: f32 = -1e30;

var<workgroup> maxima: array<f32, MAX_SPLITS>;
var<workgroup> totals: array<f32, MAX_SPLITS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = workgroup.y * step.n_heads + workgroup.x;
    let n_slots = min(run_u32(step.position) + rows_of_run(step.rows, step.dynamic), step.slots);
    // The number of parts, as the host divides the slots in use.
    let n_parts = clamp((n_slots + SPLIT - 1u) / SPLIT, 1u, step.max_splits);
    let width = step.head_dim + 2u;
    let first = row * step.max_splits * width;
    for (var i = local; i < n_parts; i += 64u) {
        maxima[i] = parts[first + i * width + step.head_dim];
        totals[i] = parts[first + i * width + step.head_dim + 1u];
    }
    workgroupBarrier();
    var largest = LOWEST;
    for (var i = 0u; i < n_parts; i++) {
        largest = max(largest, maxima[i]);
    }
    for (var d = local; d < step.head_dim; d += 64u) {
        var sum = 0.0;
        var total = 0.0;
        for (var i = 0u; i < n_parts; i++) {
            // A part in which nothing is seen holds zeros.
            let weight = exp_f32(max(maxima[i] - largest, -80.0));
            sum += weight * parts[first + i * width + d];
            total += weight * totals[i];
        }
        out[row * step.head_dim + d] = select(0.0, sum / total, total > 0.0);
    }
}

//! Logits [V] after the repeat penalty, and the largest of each group of them, NaN where one is: what is before `sample`. Source: Keskar et al., arXiv:1909.05858.
//! Grid: slices of WORKGROUP groups; invocation i of a slice has every WORKGROUP-th of its elements from i on, `each` in all. Exact.
//! Needs: nothing.

struct Step {
    vocab: u32,
    history_len: u32,
    // Elements of a group.
    each: u32,
    // The run's words.
    repeat_penalty: u32,
    repeat_last_n: u32,
    position: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [V]
@group(0) @binding(2) var<storage, read> logits: array<f32>;
// [V]: logits after the penalty
@group(0) @binding(3) var<storage, read_write> punished: array<f32>;
// [history_len], used where HAS_HISTORY
@group(0) @binding(4) var<storage, read> history: array<u32>;
// [slices · WORKGROUP]
@group(0) @binding(5) var<storage, read_write> maxima: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let begin = workgroup.x * WORKGROUP * step.each;
    let end = min(begin + WORKGROUP * step.each, step.vocab);
    for (var i = begin + local; i < end; i += WORKGROUP) {
        punished[i] = logits[i];
    }
    storageBarrier();
    if HAS_HISTORY {
        let position = run_u32(step.position);
        let n = min(min(u32(max(run_i32(step.repeat_last_n), 0)), position), step.history_len);
        let penalty = run_f32(step.repeat_penalty);
        for (var j = local; j < n; j += WORKGROUP) {
            let id = history[(position - 1u - j) % step.history_len];
            if id >= begin && id < end {
                // From the logit itself, so that an id that occurs twice is punished once.
                let x = logits[id];
                punished[id] = select(x * penalty, x / penalty, x > 0.0);
            }
        }
    }
    storageBarrier();
    var value = -3.4028234e38;
    for (var i = begin + local; i < end; i += WORKGROUP) {
        value = max_f32(value, punished[i]);
    }
    maxima[workgroup.x * WORKGROUP + local] = value;
}

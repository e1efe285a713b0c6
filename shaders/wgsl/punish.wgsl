//! Logits [S, V] after the repeat penalty, and the largest of each group of them, NaN where one is: what is before `sample`. Source: Keskar et al., arXiv:1909.05858.
//! Grid: (slices of WORKGROUP groups, rows); rows that are greedy are left out; invocation i of a slice has every WORKGROUP-th of its elements from i on, `each` in all. Exact.
//! Needs: nothing.
//! Expects: is_greedy, position_of, place_in_history, repeat_last_n_of, repeat_penalty_of

struct Step {
    vocab: u32,
    history_len: u32,
    // Elements of a group.
    each: u32,
    draws: u32,
    // Groups of a row.
    n_maxima: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [S, V]
@group(0) @binding(2) var<storage, read> logits: array<f32>;
// [S, V]: logits after the penalty
@group(0) @binding(3) var<storage, read_write> punished: array<f32>;
// [sequences, history_len], used where HAS_HISTORY
@group(0) @binding(4) var<storage, read> history: array<u32>;
// [S, slices · WORKGROUP]
@group(0) @binding(5) var<storage, read_write> maxima: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = workgroup.y;
    if is_greedy(row) {
        return;
    }
    let first = row * step.vocab;
    let begin = workgroup.x * WORKGROUP * step.each;
    let end = min(begin + WORKGROUP * step.each, step.vocab);
    for (var i = begin + local; i < end; i += WORKGROUP) {
        punished[first + i] = logits[first + i];
    }
    storageBarrier();
    if HAS_HISTORY {
        let position = position_of(row);
        let n = min(min(repeat_last_n_of(row), position), step.history_len);
        let penalty = repeat_penalty_of(row);
        for (var j = local; j < n; j += WORKGROUP) {
            let id = history[place_in_history(row, position - 1u - j)];
            if id >= begin && id < end {
                // From the logit itself, so that an id that occurs twice is punished once.
                let x = logits[first + id];
                punished[first + id] = select(x * penalty, x / penalty, x > 0.0);
            }
        }
    }
    storageBarrier();
    var value = -3.4028234e38;
    for (var i = begin + local; i < end; i += WORKGROUP) {
        value = max_f32(value, punished[first + i]);
    }
    maxima[row * step.n_maxima + workgroup.x * WORKGROUP + local] = value;
}

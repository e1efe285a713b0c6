//! out[t]: the id that the history of row t's sequence holds at its position.
//! Grid: one invocation a row. Exact. Needs: nothing.
//! Expects: segment_of

struct Step {
    rows: u32,
    dynamic: u32,
    history_len: u32,
    segments: u32,
    row_segments: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [sequences, history_len]
@group(0) @binding(2) var<storage, read> history: array<u32>;
// [T]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let t = workgroup.x * 64u + local;
    if t < rows_of_run(step.rows, step.dynamic) {
        let segment = segment_of(t);
        out[t] = history[segment.history + (segment.position + t - segment.first_row) % step.history_len];
    }
}

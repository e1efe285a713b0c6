//! Joins the parts of `attention` where its own last workgroup cannot.
//! Grid: (H, T), one invocation for each element of a head. Arithmetic: f32, fixed order. Needs: nothing.
//! Expects: segment_of, view_of, merge_parts

struct Step {
    n_heads: u32,
    head_dim: u32,
    max_splits: u32,
    // The run's words of window, segments and the segments of rows.
    window: u32,
    segments: u32,
    row_segments: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, H, max_splits, D + 2]
@group(0) @binding(2) var<storage, read> parts: array<f32>;
// [T, H, D]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

const LOWEST: f32 = -1e30;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let t = workgroup.y;
    let segment = segment_of(t);
    let p = segment.position + t - segment.first_row;
    let view = view_of(segment, p, p, run_u32(step.window));
    // The number of parts, as `attention` divides the positions in view.
    let n_seen = view.n_sinks + p + 1u - view.recent;
    let n_parts = clamp((n_seen + SPLIT - 1u) / SPLIT, 1u, step.max_splits);
    // One part was written to its place already.
    if n_parts > 1u {
        merge_parts(t * step.n_heads + workgroup.x, n_parts, local);
    }
}

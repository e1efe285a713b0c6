//! Joins the parts of `attention` where its own last workgroup cannot.
//! Grid: (H, T), one invocation for each element of a head. Arithmetic: f32, fixed order. Needs: nothing.
//! Expects: view_of, merge_parts

struct Step {
    n_heads: u32,
    head_dim: u32,
    max_splits: u32,
    // The run's words of position and window.
    position: u32,
    window_word: u32,
    // W and s of the cache.
    window: u32,
    sinks: u32,
    rows: u32,
    dynamic: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, H, max_splits, D + 2]
@group(0) @binding(2) var<storage, read> parts: array<f32>;
// [T, H, D]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

const LOWEST: f32 = -1e30;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = run_u32(step.position);
    let last = first + rows_of_run(step.rows, step.dynamic) - 1u;
    let view = view_of(first, last, run_u32(step.window_word));
    // The number of parts, as the host divides the positions in view.
    let n_seen = view.n_sinks + last + 1u - view.recent;
    let n_parts = clamp((n_seen + SPLIT - 1u) / SPLIT, 1u, step.max_splits);
    merge_parts(workgroup.y * step.n_heads + workgroup.x, n_parts, local);
}

//! out = x[index], a row of x [n_rows, len]; an index out of range is clamped.
//! Grid: one invocation an element, folded over x and y. Words are moved unchanged. Needs: nothing.

struct Step {
    n_rows: u32,
    len: u32,
    // The run's word of the index.
    index: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [n_rows, len]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [len]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if at < step.len {
        let row = u32(clamp(run_i32(step.index), 0, i32(step.n_rows) - 1));
        out[at] = x[row * step.len + at];
    }
}

//! out[i] = i as i32. Grid: one invocation an element, folded over x and y. Exact. Needs: nothing.

struct Step {
    len: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [len]
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if at < step.len {
        out[at] = at;
    }
}

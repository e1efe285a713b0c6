//! out[t, f] = act(y[t, f]) · y[t, f + F]: the gate of a feed-forward layer whose two products lie side by side.
//! Grid: one invocation an element, folded over x and y. Arithmetic: f32. Needs: nothing.
//! Expects: activation

struct Step {
    rows: u32,
    dynamic: u32,
    // F
    width: u32,
    act: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, 2F]
@group(0) @binding(2) var<storage, read> y: array<f32>;
// [T, F]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    let token = index / step.width;
    if token < rows_of_run(step.rows, step.dynamic) {
        let at = index + token * step.width;
        out[index] = activation(step.act, y[at]) * y[at + step.width];
    }
}

//! out[o, j, i] = x[o, indices[j], i]; an index out of range gives 0.
//! Grid: one invocation an element, folded over x and y. Words are moved unchanged. Needs: nothing.

struct Step {
    len: u32,
    inner: u32,
    count: u32,
    total: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [outer, len, inner]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [count]
@group(0) @binding(3) var<storage, read> indices: array<i32>;
// [outer, count, inner]
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if at >= step.total {
        return;
    }
    let index = bitcast<u32>(indices[at / step.inner % step.count]);
    let row = at / step.inner / step.count * step.len + min(index, step.len - 1u);
    let value = x[row * step.inner + at % step.inner];
    out[at] = select(0u, value, index < step.len);
}

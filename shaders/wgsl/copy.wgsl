//! out[view of out] = x[view of x]: one part of a concatenation.
//! Grid: one invocation an element, folded over x and y. Words are moved unchanged. Needs: nothing.

struct Step {
    outer: u32,
    dynamic: u32,
    // Elements for each index of the first dimension.
    inner: u32,
    n_dims: u32,
    x_offset: u32,
    out_offset: u32,
    // Per dimension: size, stride of x, stride of out.
    dims: array<vec4<i32>, 8>,
}
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if index >= rows_of_run(step.outer, step.dynamic) * step.inner {
        return;
    }
    var source = i32(step.x_offset);
    var to = i32(step.out_offset);
    var rest = index;
    for (var i = step.n_dims; i > 0u; i--) {
        let dim = step.dims[i - 1u];
        let at = i32(rest % u32(dim.x));
        rest /= u32(dim.x);
        source += at * dim.y;
        to += at * dim.z;
    }
    out[to] = x[source];
}

//! out = x; out[o, indices[j], i] += updates[o, j, i] in the order of j; an index out of range is dropped.
//! Grid: one invocation an element of x, which walks the indices: no atomics, so the order is fixed. Arithmetic: f32 or wrapping i32.
//! Needs: nothing.

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
@group(0) @binding(4) var<storage, read> updates: array<u32>;
// [outer, len, inner]
@group(0) @binding(5) var<storage, read_write> out: array<u32>;

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
    let row = i32(at / step.inner % step.len);
    let first = at / step.inner / step.len * step.count * step.inner + at % step.inner;
    var value = x[at];
    for (var j = 0u; j < step.count; j++) {
        if indices[j] == row {
            let update = updates[first + j * step.inner];
            if INT {
                value = bitcast<u32>(bitcast<i32>(value) + bitcast<i32>(update));
            } else {
                value = bitcast<u32>(bitcast<f32>(value) + bitcast<f32>(update));
            }
        }
    }
    out[at] = value;
}

//! out = e^(x - max) / Σ e^(x - max) along the middle of x [outer, len, inner].
//! Grid: one workgroup for each (outer, inner), folded over x and y. Arithmetic: f32, fixed order; relative error about 1e-6. Needs: nothing.

struct Step {
    len: u32,
    inner: u32,
    count: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [outer, len, inner]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [outer, len, inner]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let line = min(workgroup.x + workgroup.y * grid.x, step.count - 1u);
    let first = line / step.inner * step.len * step.inner + line % step.inner;
    var largest = -3.4028234e38;
    for (var j = local; j < step.len; j += WORKGROUP) {
        largest = max(largest, x[first + j * step.inner]);
    }
    largest = workgroup_max(vec4(largest), local).x;
    var sum = 0.0;
    for (var j = local; j < step.len; j += WORKGROUP) {
        sum += exp_f32(max(x[first + j * step.inner] - largest, -87.0));
    }
    sum = workgroup_sum(sum, local);
    for (var j = local; j < step.len; j += WORKGROUP) {
        let at = first + j * step.inner;
        out[at] = select(0.0, exp_f32(max(x[at] - largest, -87.0)), x[at] - largest > -87.0) / sum;
    }
}

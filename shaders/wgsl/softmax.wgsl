//! out = e^(x - max) / Σ e^(x - max) along the middle of x [outer, len, inner]; all of a line is NaN where it holds NaN or inf, or -inf alone.
//! Grid: one workgroup for each (outer, inner), folded over x and y. Arithmetic: f32, fixed order, sums of runs first; relative error about 1e-6.
//! Needs: nothing.
//! Expects: workgroup_max, workgroup_sum

struct Step {
    len: u32,
    inner: u32,
    count: u32,
    // Bits of NaN: no literal may be one.
    nan: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [outer, len, inner]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [outer, len, inner]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

// Elements of an invocation that are summed before they are added to the others.
const RUN: u32 = 64u;

// 0 of -inf, 1 of a number, 2 of inf and NaN.
fn kind_of(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    return select(select(1.0, 2.0, (bits & 0x7fffffffu) >= 0x7f800000u), 0.0, bits == 0xff800000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let line = min(workgroup.x + workgroup.y * grid.x, step.count - 1u);
    let first = line / step.inner * step.len * step.inner + line % step.inner;
    var most = vec4(-3.4028234e38, 0.0, 0.0, 0.0);
    for (var j = local; j < step.len; j += WORKGROUP) {
        let own = x[first + j * step.inner];
        most = max(most, vec4(select(own, -3.4028234e38, is_nan(own)), kind_of(own), 0.0, 0.0));
    }
    most = workgroup_max(most, local);
    let largest = most.x;
    var sum = 0.0;
    for (var begin = local; begin < step.len; begin += RUN * WORKGROUP) {
        var part = 0.0;
        for (var j = begin; j < min(begin + RUN * WORKGROUP, step.len); j += WORKGROUP) {
            part += exp_f32(max(x[first + j * step.inner] - largest, -87.0));
        }
        sum += part;
    }
    sum = workgroup_sum(sum, local);
    for (var j = local; j < step.len; j += WORKGROUP) {
        let at = first + j * step.inner;
        let value = select(0.0, exp_f32(max(x[at] - largest, -87.0)), x[at] - largest > -87.0) / sum;
        out[at] = select(step.nan, bitcast<u32>(value), most.y == 1.0);
    }
}

//! Running sum along the middle of x [outer, len, inner].
//! Grid: one invocation for each (outer, inner), folded over x and y, in order. Arithmetic: f32 or wrapping i32. Needs: nothing.

struct Step {
    len: u32,
    inner: u32,
    count: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [outer, len, inner]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [outer, len, inner]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let line = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if line >= step.count {
        return;
    }
    let first = line / step.inner * step.len * step.inner + line % step.inner;
    var float_sum = 0.0;
    // What rounding took from the sum so far (Kahan), so that the error does not grow with the length.
    var lost = 0.0;
    var int_sum = 0;
    for (var j = 0u; j < step.len; j++) {
        let at = first + j * step.inner;
        if INT {
            int_sum += bitcast<i32>(x[at]);
            out[at] = bitcast<u32>(int_sum);
        } else {
            let term = bitcast<f32>(x[at]) - lost;
            let next = float_sum + term;
            lost = (next - float_sum) - term;
            float_sum = next;
            out[at] = bitcast<u32>(float_sum);
        }
    }
}

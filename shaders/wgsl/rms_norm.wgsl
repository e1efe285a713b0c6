//! out[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight. Source: Zhang and Sennrich, arXiv:1910.07467.
//! Grid: one workgroup a row, folded over x and y. Arithmetic: f32, fixed order; relative error about 1e-6. Needs: nothing.
//! Expects: workgroup_sum

struct Step {
    rows: u32,
    dynamic: u32,
    width: u32,
    // The run's word of eps.
    eps: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, width]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [width]
@group(0) @binding(3) var<storage, read> weight: array<f32>;
// [T, width]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = min(workgroup.x + workgroup.y * grid.x, rows_of_run(step.rows, step.dynamic) - 1u);
    let first = row * step.width;
    var squares = 0.0;
    for (var i = local; i < step.width; i += WORKGROUP) {
        let v = x[first + i];
        squares += v * v;
    }
    let total = workgroup_sum(squares, local);
    let scale = 1.0 / sqrt(total / f32(step.width) + run_f32(step.eps));
    for (var i = local; i < step.width; i += WORKGROUP) {
        out[first + i] = x[first + i] * scale * weight[i];
    }
}

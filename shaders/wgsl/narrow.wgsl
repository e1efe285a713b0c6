//! out[t] = x'[t] in f16 for the matrix units, x' from the prologue; numbers past what f16 holds become the largest that it does, inf and NaN stay.
//! Grid: one workgroup a row, folded over x and y. Arithmetic: f32, fixed order, then rounded to f16. Needs: f16; K a multiple of 32.
//! Expects: x_quad, norm_scale, workgroup_sum, weigh
enable f16;

struct Step {
    rows: u32,
    dynamic: u32,
    // The run's word of the norm's eps.
    eps: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, K / 4]
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f16>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = min(workgroup.x + workgroup.y * grid.x, rows_of_run(step.rows, step.dynamic) - 1u);
    var scale = 1.0;
    if NORMED {
        var squares = 0.0;
        for (var quad = local; quad < K / 4u; quad += WORKGROUP) {
            let v = x_quad(row, quad);
            squares += dot(v, v);
        }
        scale = norm_scale(workgroup_sum(squares, local));
    }
    for (var quad = local; quad < K / 4u; quad += WORKGROUP) {
        let v = weigh(x_quad(row, quad), quad) * scale;
        out[row * (K / 4u) + quad] = vec4<f16>(within_f16(v));
    }
}

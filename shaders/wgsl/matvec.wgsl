//! y[n] = Σ_k x'[k] · w[n, k] for one token, with x' from the prologue and an epilogue on the sums.
//! Buffers: x (prologue), weights (format), the epilogue's; see their fragments.
//! Grid: (blocks of SLOTS · PASSES rows, folded over x and y); WORKGROUP invocations, LANES for each ROWS rows.
//! Arithmetic: f32; relative error of a sum about 1e-6 of Σ |x w|.
//! Needs: nothing; uses subgroups where there are any.
//! Expects: slot_row, x_quad, weigh, hold, held_dot, lanes_sum, norm_scale, finish

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        var first_group: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            // Rows past the end repeat the last one; the epilogue drops them.
            first_group[r] = (step.first_row + min(slot_row(block, first_slot + r), step.n - 1u)) * GROUPS;
        }
        var acc: vec4<f32>;
        var squares = 0.0;
        for (var group = lane; group < GROUPS; group += LANES) {
            var values: Values;
            for (var i = 0u; i < 8u; i++) {
                let v = x_quad(0u, group * 8u + i);
                squares += dot(v, v);
                values.v[i] = weigh(v, group * 8u + i);
            }
            for (var r = 0u; r < ROWS; r++) {
                acc[r] += held_dot(hold(first_group[r] + group), values);
            }
        }
        var scale = 1.0;
        if NORMED {
            scale = norm_scale(lanes_sum(vec4(squares, 0.0, 0.0, 0.0), local).x);
        }
        let total = lanes_sum(acc, local) * scale;
        if lane < ROWS {
            sums[first_slot + lane] = total[lane];
        }
        workgroupBarrier();
        finish(block, 0u, 1u, local);
        workgroupBarrier();
    }
}

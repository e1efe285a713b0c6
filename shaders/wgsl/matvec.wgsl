//! y[t, n] = Σ_k x'[t, k] · w[n, k] for few tokens, with x' from the prologue and an epilogue on the sums.
//! Buffers: x (prologue), weights (format), the epilogue's; see their fragments.
//! Grid: (blocks of SLOTS · PASSES rows, folded over x and y; COLS tokens in z); WORKGROUP invocations, LANES for each ROWS rows.
//! Arithmetic: f32; relative error of a sum about 1e-6 of Σ |x w|.
//! Needs: nothing; uses subgroups where there are any.
//! Expects: slot_row, x_quad, weigh, weight_dot, weight_values, lanes_sum, norm_scale, finish

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_token = workgroup.z * COLS;
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        var first_group: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            // Rows past the end repeat the last one; the epilogue drops them.
            first_group[r] = (step.first_row + min(slot_row(block, first_slot + r), step.n - 1u)) * GROUPS;
        }
        var acc: array<vec4<f32>, COLS>;
        var squares: vec4<f32>;
        for (var group = lane; group < GROUPS; group += LANES) {
            if COLS == 1u {
                var values: Values;
                for (var i = 0u; i < 8u; i++) {
                    let v = x_quad(first_token, group * 8u + i);
                    squares.x += dot(v, v);
                    values.v[i] = weigh(v, group * 8u + i);
                }
                for (var r = 0u; r < ROWS; r++) {
                    acc[0][r] += weight_dot(first_group[r] + group, values);
                }
            } else {
                var w: array<Values, ROWS>;
                for (var r = 0u; r < ROWS; r++) {
                    w[r] = weight_values(first_group[r] + group);
                }
                for (var c = 0u; c < COLS; c++) {
                    let token = min(first_token + c, rows - 1u);
                    for (var i = 0u; i < 8u; i++) {
                        let v = x_quad(token, group * 8u + i);
                        squares[c] += dot(v, v);
                        let weighed = weigh(v, group * 8u + i);
                        for (var r = 0u; r < ROWS; r++) {
                            acc[c][r] += dot(w[r].v[i], weighed);
                        }
                    }
                }
            }
        }
        if NORMED {
            squares = lanes_sum(squares, local);
        }
        for (var c = 0u; c < COLS; c++) {
            let total = lanes_sum(acc[c], local) * norm_scale(squares[c]);
            if lane < ROWS {
                sums[c * SLOTS + first_slot + lane] = total[lane];
            }
        }
        workgroupBarrier();
        finish(block, first_token, rows, local);
        workgroupBarrier();
    }
}

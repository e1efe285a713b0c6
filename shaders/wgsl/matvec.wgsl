//! y[t, n] = Σ_k x'[t, k] · w[n, k] for few tokens, with x' from the prologue and an epilogue on the sums.
//! Buffers: x (prologue), weights (format), the epilogue's; see their fragments.
//! Grid: (blocks of SLOTS · PASSES rows, folded over x and y; COLS tokens in z); WORKGROUP invocations, LANES for each ROWS rows.
//! Arithmetic: f32; relative error of a sum about 1e-6 of Σ |x w|.
//! Needs: nothing; uses subgroups where there are any.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_token = workgroup.z * COLS;
    prepare(first_token, rows, local);
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
        for (var group = lane; group < GROUPS; group += LANES) {
            if COLS == 1u {
                let values = load_x(0u, first_token, group);
                for (var r = 0u; r < ROWS; r++) {
                    acc[0][r] += weight_dot(first_group[r] + group, values);
                }
            } else {
                for (var r = 0u; r < ROWS; r++) {
                    let w = weight_values(first_group[r] + group);
                    for (var c = 0u; c < COLS; c++) {
                        let values = load_x(c, min(first_token + c, rows - 1u), group);
                        var part = dot(w.v[0], values.v[0]) + dot(w.v[1], values.v[1]) + dot(w.v[2], values.v[2]);
                        part += dot(w.v[3], values.v[3]) + dot(w.v[4], values.v[4]) + dot(w.v[5], values.v[5]);
                        acc[c][r] += part + dot(w.v[6], values.v[6]) + dot(w.v[7], values.v[7]);
                    }
                }
            }
        }
        for (var c = 0u; c < COLS; c++) {
            let total = lanes_sum(acc[c], local);
            if lane < ROWS {
                sums[c * SLOTS + first_slot + lane] = total[lane];
            }
        }
        workgroupBarrier();
        finish(block, first_token, rows, local);
        workgroupBarrier();
    }
}

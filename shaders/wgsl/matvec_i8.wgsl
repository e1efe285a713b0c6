//! y[n] = Σ_k x'[k] · w[n, k] for one token with eight-bit activations: x' from the prologue is quantized to d · a, a in -127..127, with
//! one f32 scale for 32 values, in workgroup memory. Integer dot products are exact; an epilogue takes the sums.
//! Buffers: x (prologue), weights (format), the epilogue's; see their fragments.
//! Grid: (blocks of SLOTS · PASSES rows, folded over x and y); WORKGROUP invocations, LANES for each ROWS rows.
//! Error: the rounding of activations, |e| ≤ max|x| / 254 for each value of a group.
//! Needs: packed integer dot products (core WGSL; emulated where the device has none).
//! Expects: slot_row, load_block, quantize_row, norm_scale, workgroup_sum, activations, factors, block_dot, leave_sums, finish

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    var scale = 1.0;
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        var first_group: array<u32, ROWS>;
        // Blocks of weights are asked for a step early, the first before the activations are made: nothing takes longer to arrive.
        var ahead: array<Block, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            // Rows past the end repeat the last one; the epilogue drops them.
            first_group[r] = (step.first_row + min(slot_row(block, first_slot + r), step.n - 1u)) * GROUPS;
            ahead[r] = load_block(first_group[r] + min(lane, GROUPS - 1u));
        }
        if pass_idx == 0u {
            let squares = quantize_row(0u, 0u, 1u, local);
            if NORMED {
                scale = norm_scale(workgroup_sum(squares, local));
            } else {
                workgroupBarrier();
            }
        }
        var acc: array<f32, ROWS>;
        for (var group = lane; group < GROUPS; group += LANES) {
            let a = activations(0u, group);
            let f = factors(a.q);
            for (var r = 0u; r < ROWS; r++) {
                let b = ahead[r];
                if group + LANES < GROUPS {
                    ahead[r] = load_block(first_group[r] + group + LANES);
                }
                acc[r] += block_dot(b, f, a.scale, a.halves);
            }
        }
        leave_sums(&acc, first_slot, scale, local);
        workgroupBarrier();
        finish(block, 0u, 1u, local);
        workgroupBarrier();
    }
}

//! `matvec_i8` for adapters on which a load costs by the lane and hardly by the word, software ones: two neighbouring groups at a time (pair),
//! nothing early. GROUPS is even.
//! Buffers, grid, error: as `matvec_i8`.
//! Needs: nothing, the fragment of a pair perhaps 64-bit integers.

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    let squares = quantize_row(local);
    var scale = 1.0;
    if NORMED {
        scale = norm_scale(workgroup_sum(squares, local));
    } else {
        workgroupBarrier();
    }
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        var first_pair: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            // Rows past the end repeat the last one; the epilogue drops them.
            first_pair[r] = (step.first_row + min(slot_row(block, first_slot + r), step.n - 1u)) * (GROUPS / 2u);
        }
        var acc: array<f32, ROWS>;
        for (var pair = lane; pair < GROUPS / 2u; pair += LANES) {
            let a = activations(2u * pair);
            let b = activations(2u * pair + 1u);
            let a_factors = factors(a.q);
            let b_factors = factors(b.q);
            for (var r = 0u; r < ROWS; r++) {
                let w = load_pair(first_pair[r] + pair);
                acc[r] += block_dot(w[0], a_factors, a.scale, a.halves) + block_dot(w[1], b_factors, b.scale, b.halves);
            }
        }
        leave_sums(&acc, first_slot, scale, local);
        workgroupBarrier();
        finish(block, 0u, 1u, local);
        workgroupBarrier();
    }
}

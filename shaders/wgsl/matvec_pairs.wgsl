//! `matvec_i8` for adapters on which a load costs by the lane and hardly by the word, software ones: a lane takes AT_ONCE neighbouring pairs of
//! groups (pair), 1, 2 or 4, through all its rows, so that activations are read once for ROWS rows, and what pairs share once a row. GROUPS is
//! a multiple of 2 · AT_ONCE.
//! Buffers, grid, error: as `matvec_i8`.
//! Needs: nothing, the fragment of a pair perhaps 64-bit integers.
//! Expects: pair_activations, pair_dot, quantize_row, norm_scale, workgroup_sum, slot_row, load_pairs, load_pair, leave_sums, finish

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    let squares = quantize_row(0u, 0u, 1u, local);
    var scale = 1.0;
    if NORMED {
        scale = norm_scale(workgroup_sum(squares, local));
    } else {
        workgroupBarrier();
    }
    // Always ROWS, but no constant, so that compilers leave the loop over rows a loop: all of them one after the other are more code than a
    // first-level cache holds.
    let n_rows = select(ROWS, 0u, step.n == 0u);
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        var acc: array<f32, ROWS>;
        for (var first = lane * AT_ONCE; first < GROUPS / 2u; first += LANES * AT_ONCE) {
            // One by one: software adapters keep arrays in memory.
            let x0 = pair_activations(0u, first);
            var x1: PairActivations;
            var x2: PairActivations;
            var x3: PairActivations;
            if AT_ONCE > 1u {
                x1 = pair_activations(0u, first + 1u);
            }
            if AT_ONCE > 2u {
                x2 = pair_activations(0u, first + 2u);
                x3 = pair_activations(0u, first + 3u);
            }
            for (var r = 0u; r < n_rows; r++) {
                // Rows past the end repeat the last one; the epilogue drops them.
                let row = step.first_row + min(slot_row(block, first_slot + r), step.n - 1u);
                let pairs = load_pairs(row * (GROUPS / 2u) + first);
                var sum = pair_dot(load_pair(pairs, 0u), x0);
                if AT_ONCE > 1u {
                    sum += pair_dot(load_pair(pairs, 1u), x1);
                }
                if AT_ONCE > 2u {
                    sum += pair_dot(load_pair(pairs, 2u), x2) + pair_dot(load_pair(pairs, 3u), x3);
                }
                acc[r] += sum;
            }
        }
        leave_sums(&acc, first_slot, scale, local);
        workgroupBarrier();
        finish(block, 0u, 1u, local);
        workgroupBarrier();
    }
}

//! `matvec_rows_i8` for the adapters of `matvec_pairs`, in whose order sums add up: two tokens at a time share the loads of weights.
//! Buffers, error: as `matvec_rows_i8`. Grid: that of `matvec_pairs`; COLS is even.
//! Needs: nothing, the fragment of a pair perhaps 64-bit integers.
//! Expects: pair_activations, pair_dot, row_scale, slot_row, load_pairs, load_pair, leave_sums, finish

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    // Always ROWS, but no constant: see `matvec_pairs`.
    let n_rows = select(ROWS, 0u, step.n == 0u);
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        for (var token = 0u; token < rows; token += 2u) {
            let second = min(token + 1u, rows - 1u);
            var acc_a: array<f32, ROWS>;
            var acc_b: array<f32, ROWS>;
            for (var first = lane * AT_ONCE; first < GROUPS / 2u; first += LANES * AT_ONCE) {
                // One by one: software adapters keep arrays in memory.
                let a0 = pair_activations(token, first);
                let b0 = pair_activations(second, first);
                var a1: PairActivations;
                var b1: PairActivations;
                var a2: PairActivations;
                var b2: PairActivations;
                var a3: PairActivations;
                var b3: PairActivations;
                if AT_ONCE > 1u {
                    a1 = pair_activations(token, first + 1u);
                    b1 = pair_activations(second, first + 1u);
                }
                if AT_ONCE > 2u {
                    a2 = pair_activations(token, first + 2u);
                    b2 = pair_activations(second, first + 2u);
                    a3 = pair_activations(token, first + 3u);
                    b3 = pair_activations(second, first + 3u);
                }
                for (var r = 0u; r < n_rows; r++) {
                    // Rows past the end repeat the last one; the epilogue drops them.
                    let row = step.first_row + min(slot_row(block, first_slot + r), step.n - 1u);
                    let pairs = load_pairs(row * (GROUPS / 2u) + first);
                    let p0 = load_pair(pairs, 0u);
                    var sum_a = pair_dot(p0, a0);
                    var sum_b = pair_dot(p0, b0);
                    if AT_ONCE > 1u {
                        let p1 = load_pair(pairs, 1u);
                        sum_a += pair_dot(p1, a1);
                        sum_b += pair_dot(p1, b1);
                    }
                    if AT_ONCE > 2u {
                        let p2 = load_pair(pairs, 2u);
                        let p3 = load_pair(pairs, 3u);
                        sum_a += pair_dot(p2, a2) + pair_dot(p3, a3);
                        sum_b += pair_dot(p2, b2) + pair_dot(p3, b3);
                    }
                    acc_a[r] += sum_a;
                    acc_b[r] += sum_b;
                }
            }
            leave_sums(&acc_a, token * SLOTS + first_slot, row_scale(token), local);
            leave_sums(&acc_b, (token + 1u) * SLOTS + first_slot, row_scale(second), local);
        }
        workgroupBarrier();
        finish(block, 0u, rows, local);
        workgroupBarrier();
    }
}

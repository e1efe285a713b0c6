//! Sums of a tile's rows of q, k and v are rotated and stored as `epilogue/rotated_pair` says.
//! Expects: leave, own_sums, sum_of, store_rotated

fn finish_one(sum: Sum, first_n: u32, first_t: u32, rows: u32, local: u32) {
    leave(sum, own_sums(local), OUT_PITCH);
    workgroupBarrier();
    for (var i = local % 32u; i < 128u; i += 32u) {
        let token = first_t + i / 8u;
        let row = first_n + i % 8u * 2u;
        if token < rows && row < step.n {
            store_rotated(row, token, vec2(sum_of(2u * i, local), sum_of(2u * i + 1u, local)));
        }
    }
    workgroupBarrier();
}

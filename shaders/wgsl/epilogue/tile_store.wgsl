//! Sums of a tile are stored as `epilogue/matrix` says.
//! Expects: leave, own_sums, store, sum_of

fn finish_one(sum: Sum, first_n: u32, first_t: u32, rows: u32, local: u32) {
    leave(sum, own_sums(local), OUT_PITCH);
    workgroupBarrier();
    for (var i = local % 32u; i < 256u; i += 32u) {
        store(first_t + i / 16u, first_n + i % 16u, rows, sum_of(i, local));
    }
    workgroupBarrier();
}

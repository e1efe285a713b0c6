//! Sums over a share of the columns, for `join` to add up with those of the others.
//! Expects: leave, own_sums, sum_of

struct Step {
    // The bucket of tokens, and whether fewer may be true.
    rows: u32,
    dynamic: u32,
    // Rows of the weight that are used, and the first of them.
    n: u32,
    first_row: u32,
    k: u32,
    // Groups of 32 in a row of the weight, padded.
    groups: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [shares, T, n], n rounded up to an even number
@group(0) @binding(6) var<storage, read_write> parts: array<f32>;

fn finish_one(sum: Sum, first_n: u32, first_t: u32, rows: u32, local: u32) {
    leave(sum, own_sums(local), OUT_PITCH);
    workgroupBarrier();
    for (var i = local % 32u; i < 256u; i += 32u) {
        let token = first_t + i / 16u;
        let row = first_n + i % 16u;
        if token < rows && row < step.n {
            parts[(share * step.rows + token) * (step.n + step.n % 2u) + row] = sum_of(i, local);
        }
    }
    workgroupBarrier();
}

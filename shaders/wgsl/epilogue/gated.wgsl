//! y[f] = act(Σ gate row f) · (Σ up row f): the weight's rows are n / 2 gate rows, then n / 2 up rows. Source: Shazeer, arXiv:2002.05202.
//! Expects: activation

struct Step {
    // The bucket of tokens, and whether fewer may be true.
    rows: u32,
    dynamic: u32,
    // Rows of the weight that are used, and the first of them.
    n: u32,
    first_row: u32,
    // The run's word of the norm's eps.
    eps: u32,
    act: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, n / 2]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

var<workgroup> sums: array<f32, SLOTS * COLS>;

// The first half of a block's slots are gate rows, the second half the up rows of the same outputs.
fn slot_row(block: u32, slot: u32) -> u32 {
    let half = SLOTS / 2u;
    let f = min(block * half + slot % half, step.n / 2u - 1u);
    return select(f + step.n / 2u, f, slot < half);
}

fn finish(block: u32, first_token: u32, rows: u32, local: u32) {
    let half = SLOTS / 2u;
    for (var i = local; i < half * COLS; i += WORKGROUP) {
        let f = block * half + i % half;
        let c = i / half;
        let token = first_token + c;
        if f < step.n / 2u && token < rows {
            let at = c * SLOTS + i % half;
            out[token * (step.n / 2u) + f] = activation(step.act, sums[at]) * sums[at + half];
        }
    }
}

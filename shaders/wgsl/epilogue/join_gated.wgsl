//! y[t, f] = act(gate row f) · (up row f) of joined sums: the weight's rows are n / 2 gate rows, then n / 2 up rows, n a multiple of 4. ACT is the
//! number of act. Source: Shazeer, arXiv:2002.05202.
//! Expects: activation, joined

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
// [T, n / 4]
@group(0) @binding(6) var<storage, read_write> out: array<vec2<f32>>;

fn n_items() -> u32 {
    return step.n / 4u;
}

fn finish_item(token: u32, item: u32, rows: u32) {
    let gate = joined(token, item);
    let up = joined(token, item + step.n / 4u);
    out[token * (step.n / 4u) + item] = vec2(activation(ACT, gate.x), activation(ACT, gate.y)) * up;
}

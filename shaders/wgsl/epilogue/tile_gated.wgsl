//! y[t, f] = act(Σ gate row f) · (Σ up row f) for many tokens: the weight's rows are n / 2 gate rows, then n / 2 up rows. A subgroup's first
//! WIDE / 2 blocks of 16 rows are gate rows, the others the up rows of the same outputs. ACT is the number of act. Source: Shazeer, arXiv:2002.05202.
//! Expects: leave, own_sums, activation, sum_of

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
// [T, n / 2]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// The used row of the weight for row r of a tile.
fn tile_row(tile: u32, r: u32) -> u32 {
    let block = r / 16u % WIDE;
    let f = tile * (TILE_N / 2u) + (r / (16u * WIDE) * (WIDE / 2u) + block % (WIDE / 2u)) * 16u + r % 16u;
    return min(f, step.n / 2u - 1u) + select(0u, step.n / 2u, block >= WIDE / 2u);
}

// Stores the product of two matrices of 16 tokens × 16 rows: those of blocks j and j + WIDE / 2 of the subgroup whose rows begin at own_n.
fn finish(gate: Sum, up: Sum, tile: u32, own_n: u32, j: u32, first_t: u32, rows: u32, local: u32) {
    var gates: array<f32, 8>;
    leave(gate, own_sums(local), OUT_PITCH);
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) {
        gates[i] = activation(ACT, sum_of(i * 32u + local % 32u, local));
    }
    workgroupBarrier();
    leave(up, own_sums(local), OUT_PITCH);
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) {
        let at = i * 32u + local % 32u;
        let token = first_t + at / 16u;
        let f = tile * (TILE_N / 2u) + own_n / 2u + j * 16u + at % 16u;
        if token < rows && f < step.n / 2u {
            out[token * (step.n / 2u) + f] = gates[i] * sum_of(at, local);
        }
    }
    workgroupBarrier();
}

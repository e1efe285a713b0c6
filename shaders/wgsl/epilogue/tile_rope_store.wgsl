//! The rows of q, k and v for many tokens: bias, rotation of neighbouring pairs of q and k, q to a buffer and k and v into the cache, whose type
//! is not Q8_0. Source of the rotation: Su et al., arXiv:2104.09864.
//! Expects: leave, own_sums, sum_of, store_pair

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
    // H and G.
    n_heads: u32,
    n_kv_heads: u32,
    // The run's first word of where its tokens go.
    places: u32,
    // G · the positions of all pages
    kv_rows: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, N_DIMS / 2] of (cos, sin)
@group(0) @binding(10) var<storage, read> table: array<vec2<f32>>;

fn finish_one(sum: Sum, first_n: u32, first_t: u32, rows: u32, local: u32) {
    leave(sum, own_sums(local), OUT_PITCH);
    workgroupBarrier();
    for (var i = local % 32u; i < 128u; i += 32u) {
        let token = first_t + i / 8u;
        let row = first_n + i % 8u * 2u;
        if token < rows && row < step.n {
            let head = row / D;
            let element = row % D;
            var pair = vec2(sum_of(2u * i, local), sum_of(2u * i + 1u, local));
            if HAS_BIAS {
                pair += vec2(bias[row], bias[row + 1u]);
            }
            if head < step.n_heads + step.n_kv_heads && element < N_DIMS {
                let turn = table[token * (N_DIMS / 2u) + element / 2u];
                pair = pair * turn.x + vec2(-pair.y, pair.x) * turn.y;
            }
            store_pair(head, element, token, pair);
        }
    }
    workgroupBarrier();
}

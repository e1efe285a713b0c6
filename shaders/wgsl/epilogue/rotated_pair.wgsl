//! Two neighbouring rows of q, k or v for many tokens: bias, rotation of q and k, q to a buffer and k and v into the cache, whose type is not Q8_0.
//! Source of the rotation: Su et al., arXiv:2104.09864.
//! Expects: store_pair

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

fn store_rotated(row: u32, token: u32, sums: vec2<f32>) {
    let head = row / D;
    let element = row % D;
    var pair = sums;
    if HAS_BIAS {
        pair += vec2(bias[row], bias[row + 1u]);
    }
    if head < step.n_heads + step.n_kv_heads && element < N_DIMS {
        let turn = table[token * (N_DIMS / 2u) + element / 2u];
        pair = pair * turn.x + vec2(-pair.y, pair.x) * turn.y;
    }
    store_pair(head, element, token, pair);
}

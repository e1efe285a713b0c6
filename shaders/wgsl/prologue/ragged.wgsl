//! Activations of any width K; values past it are 0.

// [T, K]
@group(0) @binding(2) var<storage, read> x: array<f32>;

fn prepare(first_token: u32, rows: u32, local: u32) {
}

fn x_or_zero(first: u32, k: u32) -> f32 {
    return select(0.0, x[first + min(k, K - 1u)], k < K);
}

fn load_x(column: u32, token: u32, group: u32) -> Values {
    let first = token * K;
    var out: Values;
    for (var i = 0u; i < 8u; i++) {
        let k = group * 32u + i * 4u;
        out.v[i] = vec4(x_or_zero(first, k), x_or_zero(first, k + 1u), x_or_zero(first, k + 2u), x_or_zero(first, k + 3u));
    }
    return out;
}

//! Activations of any width K; values past it are 0.

// [T, K]
@group(0) @binding(2) var<storage, read> x: array<f32>;

const NORMED: bool = false;

fn x_or_zero(first: u32, k: u32) -> f32 {
    return select(0.0, x[first + min(k, K - 1u)], k < K);
}

fn x_quad(token: u32, quad: u32) -> vec4<f32> {
    let first = token * K;
    let k = quad * 4u;
    return vec4(x_or_zero(first, k), x_or_zero(first, k + 1u), x_or_zero(first, k + 2u), x_or_zero(first, k + 3u));
}

fn weigh(v: vec4<f32>, quad: u32) -> vec4<f32> {
    return v;
}

fn norm_scale(squares: f32) -> f32 {
    return 1.0;
}

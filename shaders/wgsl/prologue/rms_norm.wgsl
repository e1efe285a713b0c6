//! Activations under RMS norm: x / sqrt(mean(x²) + eps) · weight; K is a multiple of 32. The root is a factor of the whole row, so kernels
//! multiply with it last and need no pass over the row beforehand. Source: Zhang and Sennrich, arXiv:1910.07467.

// [T, K / 4]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
// [K / 4]
@group(0) @binding(5) var<storage, read> norm_weight: array<vec4<f32>>;

const NORMED: bool = true;

fn x_quad(token: u32, quad: u32) -> vec4<f32> {
    return x[token * (K / 4u) + quad];
}

fn weigh(v: vec4<f32>, quad: u32) -> vec4<f32> {
    return v * norm_weight[quad];
}

fn norm_scale(squares: f32) -> f32 {
    return 1.0 / sqrt(squares / f32(K) + run_f32(step.eps));
}

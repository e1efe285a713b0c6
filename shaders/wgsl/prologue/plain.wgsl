//! Activations as they are; K is a multiple of 32.

// [T, K / 4]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;

const NORMED: bool = false;

// Values 4 · quad to 4 · quad + 3 of a token.
fn x_quad(token: u32, quad: u32) -> vec4<f32> {
    return x[token * (K / 4u) + quad];
}

// The norm's weight on a quad.
fn weigh(v: vec4<f32>, quad: u32) -> vec4<f32> {
    return v;
}

// What the norm multiplies a row's products with, from its sum of squares.
fn norm_scale(squares: f32) -> f32 {
    return 1.0;
}

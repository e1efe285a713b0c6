//! Gate functions by number; the functions are those of `prelude/math`.
//! Expects: sigmoid_f32, gelu_f32, tanh_f32

fn activation(kind: u32, x: f32) -> f32 {
    switch kind {
        case 0u: { return x * sigmoid_f32(x); }
        case 1u: { return gelu_f32(x); }
        case 2u: { return max_f32(x, 0.0); }
        case 3u: { return sigmoid_f32(x); }
        case 4u: { return tanh_f32(x); }
        default: { return x; }
    }
}

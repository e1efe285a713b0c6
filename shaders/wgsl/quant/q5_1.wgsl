//! Q5_1: value = d · q + m. Source: the GGUF specification, ggml `block_q5_1`.

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 32, 2]: high bits as `five_bits` has them, d and m as f16.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = true;

fn weight_packed(group: u32) -> Packed {
    return with_high_bits(quants[group], scales[group * 2u]);
}

fn weight_scales(group: u32) -> vec4<f32> {
    let word = scales[group * 2u + 1u];
    let d = f16_half(word, 0u);
    let m = f16_half(word, 1u);
    return vec4(d, d, -m, -m);
}

//! Q5_0: value = d · (q - 16). Source: the GGUF specification, ggml `block_q5_0`.

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 32, 2]: high bits as `five_bits` has them, d as f16.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 16;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = false;

fn weight_packed(group: u32) -> Packed {
    return with_high_bits(quants[group], scales[group * 2u]);
}

fn weight_scales(group: u32) -> vec4<f32> {
    let d = f16_half(scales[group * 2u + 1u], 0u);
    return vec4(d, d, 0.0, 0.0);
}

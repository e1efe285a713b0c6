//! Z6_0: value = d · (q - 32), a scale for each 16.

// [N, K / 32, 2]: 32 bytes in order.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 32]: both scales as f16.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 32;
const WEIGHT_HALVES: bool = true;
const WEIGHT_HAS_MIN: bool = false;

fn weight_packed(group: u32) -> Packed {
    return Packed(quants[group * 2u], quants[group * 2u + 1u]);
}

fn weight_scales(group: u32) -> vec4<f32> {
    let word = scales[group];
    return vec4(f16_half(word, 0u), f16_half(word, 1u), 0.0, 0.0);
}

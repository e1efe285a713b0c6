//! IQ4_XS: value = (d · (scale - 32)) · TABLE[q]. Source: ggml `block_iq4_xs`.

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 256, 3]: d as f16; then for each group a signed byte, scale - 32.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = false;

fn weight_packed(group: u32) -> Packed {
    return iq4_packed(quants[group]);
}

fn weight_scales(group: u32) -> vec4<f32> {
    let first = (group >> 3u) * 3u;
    let byte = scales[first + 1u + ((group & 7u) >> 2u)] << (24u - 8u * (group & 3u));
    let d = f16_half(scales[first], 0u) * f32(bitcast<i32>(byte) >> 24u);
    return vec4(d, d, 0.0, 0.0);
}

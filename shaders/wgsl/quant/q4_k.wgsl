//! Q4_K: value = (d · scale) · q - (dmin · min). Source: ggml `block_q4_K`.

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 256, 5]: d and dmin as f16; then for each group a byte of scale and one of min.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = true;

fn weight_packed(group: u32) -> Packed {
    let w = quants[group];
    return Packed(w & vec4(0x0f0f0f0fu), (w >> vec4(4u)) & vec4(0x0f0f0f0fu));
}

fn weight_scales(group: u32) -> vec4<f32> {
    let first = (group >> 3u) * 5u;
    let both = scales[first];
    let parts = scales[first + 1u + ((group & 7u) >> 1u)] >> (16u * (group & 1u));
    let s = f16_half(both, 0u) * f32(parts & 255u);
    let m = f16_half(both, 1u) * f32((parts >> 8u) & 255u);
    return vec4(s, s, m, m);
}

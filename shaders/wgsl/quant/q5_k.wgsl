//! Q5_K: value = (d · scale) · q - (dmin · min). Source: ggml `block_q5_K`.

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 256, 13]: d and dmin as f16; for each group a byte of scale and one of min; then high bits as `five_bits` has them.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = true;

fn weight_packed(group: u32) -> Packed {
    return with_high_bits(quants[group], scales[(group >> 3u) * 13u + 5u + (group & 7u)]);
}

fn weight_scales(group: u32) -> vec4<f32> {
    let first = (group >> 3u) * 13u;
    let both = scales[first];
    let parts = scales[first + 1u + ((group & 7u) >> 1u)] >> (16u * (group & 1u));
    let s = f16_half(both, 0u) * f32(parts & 255u);
    let m = f16_half(both, 1u) * f32((parts >> 8u) & 255u);
    return vec4(s, s, m, m);
}

//! Q2_K: value = (d · scale) · q - (dmin · min), a scale and a min for each 16. Source: ggml `block_q2_K`.

// [N, K / 64]: two words a group, as `two_bits` has them.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 256, 5]: d and dmin as f16; then 16 bytes, scale in the low and min in the high nibble.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = true;
const WEIGHT_HAS_MIN: bool = true;

fn weight_packed(group: u32) -> Packed {
    let w = quants[group >> 1u];
    return two_bits(select(w.xy, w.zw, (group & 1u) == 1u));
}

fn weight_scales(group: u32) -> vec4<f32> {
    let first = (group >> 3u) * 5u;
    let both = scales[first];
    let parts = (scales[first + 1u + ((group & 7u) >> 1u)] >> (16u * (group & 1u))) & 0xffffu;
    let d = f16_half(both, 0u);
    let dmin = f16_half(both, 1u);
    let s = vec2(d * f32(parts & 15u), d * f32((parts >> 8u) & 15u));
    let m = vec2(dmin * f32((parts >> 4u) & 15u), dmin * f32(parts >> 12u));
    return vec4(s, m);
}

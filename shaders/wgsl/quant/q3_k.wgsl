//! Q3_K: value = (d · (scale - 32)) · (q - 4), a scale for each 16. Source: ggml `block_q3_K`.

// [N, K / 64]: two words of low bits a group, as `two_bits` has them.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 256, 13]: d as f16; 16 signed bytes, scale - 32; then a word of high bits for each group, bit 8i + j that of quant 4j + i.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 4;
const WEIGHT_HALVES: bool = true;
const WEIGHT_HAS_MIN: bool = false;

fn weight_packed(group: u32) -> Packed {
    let w = quants[group >> 1u];
    let low = two_bits(select(w.xy, w.zw, (group & 1u) == 1u));
    let h = scales[(group >> 3u) * 13u + 5u + (group & 7u)];
    let lo = vec4(h << 2u, h << 1u, h, h >> 1u) & vec4(0x04040404u);
    let hi = vec4(h >> 2u, h >> 3u, h >> 4u, h >> 5u) & vec4(0x04040404u);
    return Packed(low.lo | lo, low.hi | hi);
}

fn weight_scales(group: u32) -> vec4<f32> {
    let first = (group >> 3u) * 13u;
    let d = f16_half(scales[first], 0u);
    let parts = unpack4xI8(scales[first + 1u + ((group & 7u) >> 1u)]);
    let own = select(parts.xy, parts.zw, (group & 1u) == 1u);
    return vec4(d * f32(own.x), d * f32(own.y), 0.0, 0.0);
}

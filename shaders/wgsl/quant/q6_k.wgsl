//! Q6_K: value = (d · scale) · (q - 32), a signed scale for each 16. Source: ggml `block_q6_K`.

// [N, K / 64, 3]: the low four bits of two groups as Q4_0 has them, then two words of high bits for each: byte i, bits 2s of word j are
// those of quant 16j + 4s + i.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 32]: d as f16 in the low half, the group's two scales as signed bytes above it.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 32;
const WEIGHT_HALVES: bool = true;
const WEIGHT_HAS_MIN: bool = false;

fn weight_packed(group: u32) -> Packed {
    let first = (group >> 1u) * 3u;
    let w = quants[first + (group & 1u)];
    let both = quants[first + 2u];
    let h = select(both.xy, both.zw, (group & 1u) == 1u);
    let lo = vec4(h.x << 4u, h.x << 2u, h.x, h.x >> 2u) & vec4(0x30303030u);
    let hi = vec4(h.y << 4u, h.y << 2u, h.y, h.y >> 2u) & vec4(0x30303030u);
    return Packed((w & vec4(0x0f0f0f0fu)) | lo, ((w >> vec4(4u)) & vec4(0x0f0f0f0fu)) | hi);
}

fn weight_scales(group: u32) -> vec4<f32> {
    let word = scales[group];
    let d = f16_half(word, 0u);
    let parts = unpack4xI8(word);
    return vec4(d * f32(parts.z), d * f32(parts.w), 0.0, 0.0);
}

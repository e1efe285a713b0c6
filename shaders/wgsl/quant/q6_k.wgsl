//! Q6_K: value = (d · scale) · (q - 32), a signed scale for each 16. Source: ggml `block_q6_K`.
//! Expects: words

// [N, K / 64, 3]: the low four bits of two groups as Q4_0 has them, then two words of high bits for each: byte i, bits 2s of word j are
// those of quant 16j + 4s + i.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 32]: d as f16 in the low half, the group's two scales as signed bytes above it.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 32;
const WEIGHT_HALVES: bool = true;
const WEIGHT_HAS_MIN: bool = false;

struct Block {
    q: vec4<u32>,
    high: vec2<u32>,
    scale: u32,
}

fn load_block(group: u32) -> Block {
    let first = (group >> 1u) * 3u;
    let both = words(quants[first + 2u]);
    return Block(words(quants[first + (group & 1u)]), select(both.xy, both.zw, (group & 1u) == 1u), scales[group]);
}

fn block_packed(b: Block) -> Packed {
    let lo = vec4(b.high.x << 4u, b.high.x << 2u, b.high.x, b.high.x >> 2u) & vec4(0x30303030u);
    let hi = vec4(b.high.y << 4u, b.high.y << 2u, b.high.y, b.high.y >> 2u) & vec4(0x30303030u);
    return Packed((b.q & vec4(0x0f0f0f0fu)) | lo, ((b.q >> vec4(4u)) & vec4(0x0f0f0f0fu)) | hi);
}

fn block_scales(b: Block) -> vec4<f32> {
    let d = f16_half(b.scale, 0u);
    let parts = unpack4xI8(b.scale);
    return vec4(d * f32(parts.z), d * f32(parts.w), 0.0, 0.0);
}

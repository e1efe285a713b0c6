//! Q3_K: value = (d · (scale - 32)) · (q - 4), a scale for each 16. Source: ggml `block_q3_K`.
//! Expects: words, two_bits

// [N, K / 64]: two words of low bits a group, as `two_bits` has them.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 256, 13]: d as f16; 16 signed bytes, scale - 32; then a word of high bits for each group, bit 8i + j that of quant 4j + i.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 4;
const WEIGHT_HALVES: bool = true;
const WEIGHT_HAS_MIN: bool = false;

struct Block {
    group: u32,
    q: vec2<u32>,
    high: u32,
    d: u32,
    parts: u32,
}

fn load_block(group: u32) -> Block {
    let w = words(quants[group >> 1u]);
    let first = (group >> 3u) * 13u;
    let q = select(w.xy, w.zw, (group & 1u) == 1u);
    return Block(group, q, scales[first + 5u + (group & 7u)], scales[first], scales[first + 1u + ((group & 7u) >> 1u)]);
}

fn block_packed(b: Block) -> Packed {
    let low = two_bits(b.q);
    let lo = vec4(b.high << 2u, b.high << 1u, b.high, b.high >> 1u) & vec4(0x04040404u);
    let hi = vec4(b.high >> 2u, b.high >> 3u, b.high >> 4u, b.high >> 5u) & vec4(0x04040404u);
    return Packed(low.lo | lo, low.hi | hi);
}

fn block_scales(b: Block) -> vec4<f32> {
    let d = f16_half(b.d, 0u);
    let parts = unpack4xI8(b.parts);
    let own = select(parts.xy, parts.zw, (b.group & 1u) == 1u);
    return vec4(d * f32(own.x), d * f32(own.y), 0.0, 0.0);
}

//! Q2_K: value = (d · scale) · q - (dmin · min), a scale and a min for each 16. Source: ggml `block_q2_K`.
//! Expects: words, two_bits

// [N, K / 64]: two words a group, as `two_bits` has them.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 256, 5]: d and dmin as f16; then 16 bytes, scale in the low and min in the high nibble.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = true;
const WEIGHT_HAS_MIN: bool = true;

struct Block {
    group: u32,
    q: vec2<u32>,
    both: u32,
    parts: u32,
}

fn load_block(group: u32) -> Block {
    let w = words(quants[group >> 1u]);
    let first = (group >> 3u) * 5u;
    return Block(group, select(w.xy, w.zw, (group & 1u) == 1u), scales[first], scales[first + 1u + ((group & 7u) >> 1u)]);
}

fn block_packed(b: Block) -> Packed {
    return two_bits(b.q);
}

fn block_scales(b: Block) -> vec4<f32> {
    let parts = (b.parts >> (16u * (b.group & 1u))) & 0xffffu;
    let d = f16_half(b.both, 0u);
    let dmin = f16_half(b.both, 1u);
    let s = vec2(d * f32(parts & 15u), d * f32((parts >> 8u) & 15u));
    let m = vec2(dmin * f32((parts >> 4u) & 15u), dmin * f32(parts >> 12u));
    return vec4(s, m);
}

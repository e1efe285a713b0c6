//! IQ4_XS: value = (d · (scale - 32)) · TABLE[q]. Source: ggml `block_iq4_xs`.
//! Expects: words, iq4_packed

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 256, 3]: d as f16; then for each group a signed byte, scale - 32.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = false;

struct Block {
    group: u32,
    q: vec4<u32>,
    d: u32,
    parts: u32,
}

fn load_block(group: u32) -> Block {
    let first = (group >> 3u) * 3u;
    return Block(group, words(quants[group]), scales[first], scales[first + 1u + ((group & 7u) >> 2u)]);
}

fn block_packed(b: Block) -> Packed {
    return iq4_packed(b.q);
}

fn block_scales(b: Block) -> vec4<f32> {
    let byte = b.parts << (24u - 8u * (b.group & 3u));
    let d = f16_half(b.d, 0u) * f32(bitcast<i32>(byte) >> 24u);
    return vec4(d, d, 0.0, 0.0);
}

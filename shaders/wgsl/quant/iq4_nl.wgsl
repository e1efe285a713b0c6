//! IQ4_NL: value = d · TABLE[q]. Source: ggml `block_iq4_nl`.
//! Expects: words, iq4_packed

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 32] f16, two a word.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = false;

struct Block {
    group: u32,
    q: vec4<u32>,
    scale: u32,
}

fn load_block(group: u32) -> Block {
    return Block(group, words(quants[group]), scales[group >> 1u]);
}

fn block_packed(b: Block) -> Packed {
    return iq4_packed(b.q);
}

fn block_scales(b: Block) -> vec4<f32> {
    let d = f16_half(b.scale, b.group & 1u);
    return vec4(d, d, 0.0, 0.0);
}

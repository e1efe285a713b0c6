//! Q5_K: value = (d · scale) · q - (dmin · min). Source: ggml `block_q5_K`.
//! Expects: words, with_high_bits

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 256, 13]: d and dmin as f16; for each group a byte of scale and one of min; then high bits as `five_bits` has them.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = true;

struct Block {
    group: u32,
    q: vec4<u32>,
    high: u32,
    both: u32,
    parts: u32,
}

fn load_block(group: u32) -> Block {
    let first = (group >> 3u) * 13u;
    let parts = scales[first + 1u + ((group & 7u) >> 1u)];
    return Block(group, words(quants[group]), scales[first + 5u + (group & 7u)], scales[first], parts);
}

fn block_packed(b: Block) -> Packed {
    return with_high_bits(b.q, b.high);
}

fn block_scales(b: Block) -> vec4<f32> {
    let parts = b.parts >> (16u * (b.group & 1u));
    let s = f16_half(b.both, 0u) * f32(parts & 255u);
    let m = f16_half(b.both, 1u) * f32((parts >> 8u) & 255u);
    return vec4(s, s, m, m);
}

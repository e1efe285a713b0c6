//! Q5_1: value = d · q + m. Source: the GGUF specification, ggml `block_q5_1`.
//! Expects: words, with_high_bits

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 32, 2]: high bits as `five_bits` has them, d and m as f16.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = true;

struct Block {
    q: vec4<u32>,
    high: u32,
    scale: u32,
}

fn load_block(group: u32) -> Block {
    return Block(words(quants[group]), scales[group * 2u], scales[group * 2u + 1u]);
}

fn block_packed(b: Block) -> Packed {
    return with_high_bits(b.q, b.high);
}

fn block_scales(b: Block) -> vec4<f32> {
    let d = f16_half(b.scale, 0u);
    let m = f16_half(b.scale, 1u);
    return vec4(d, d, -m, -m);
}

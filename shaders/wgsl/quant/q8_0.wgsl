//! Q8_0: value = d · q. Source: the GGUF specification, ggml `block_q8_0`.
//! Expects: words

// [N, K / 32, 2]: 32 signed bytes in order.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 32] f16, two a word.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = false;

struct Block {
    group: u32,
    q: Packed,
    scale: u32,
}

fn load_block(group: u32) -> Block {
    return Block(group, Packed(words(quants[group * 2u]), words(quants[group * 2u + 1u])), scales[group >> 1u]);
}

fn block_packed(b: Block) -> Packed {
    return b.q;
}

fn block_scales(b: Block) -> vec4<f32> {
    let d = f16_half(b.scale, b.group & 1u);
    return vec4(d, d, 0.0, 0.0);
}

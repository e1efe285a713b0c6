//! Q4_0: value = d · (q - 8). Source: the GGUF specification, ggml `block_q4_0`.
//! Expects: words

// [N, K / 32]: byte i of word j holds quant 4j + i in its low and quant 16 + 4j + i in its high nibble.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 32] f16, two a word.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 8;
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
    return Packed(b.q & vec4(0x0f0f0f0fu), (b.q >> vec4(4u)) & vec4(0x0f0f0f0fu));
}

fn block_scales(b: Block) -> vec4<f32> {
    let d = f16_half(b.scale, b.group & 1u);
    return vec4(d, d, 0.0, 0.0);
}

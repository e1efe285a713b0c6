//! Two-bit quants: byte i, bits 2s of word j are those of quant 16j + 4s + i.

fn two_bits(words: vec2<u32>) -> Packed {
    let lo = vec4(words.x, words.x >> 2u, words.x >> 4u, words.x >> 6u) & vec4(0x03030303u);
    let hi = vec4(words.y, words.y >> 2u, words.y >> 4u, words.y >> 6u) & vec4(0x03030303u);
    return Packed(lo, hi);
}

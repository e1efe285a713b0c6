//! Five-bit quants: nibbles as in Q4_0 and a word of high bits, whose bit 8i + j is that of quant 4j + i.

fn with_high_bits(w: vec4<u32>, h: u32) -> Packed {
    let lo = vec4(h << 4u, h << 3u, h << 2u, h << 1u) & vec4(0x10101010u);
    let hi = vec4(h, h >> 1u, h >> 2u, h >> 3u) & vec4(0x10101010u);
    return Packed((w & vec4(0x0f0f0f0fu)) | lo, ((w >> vec4(4u)) & vec4(0x0f0f0f0fu)) | hi);
}

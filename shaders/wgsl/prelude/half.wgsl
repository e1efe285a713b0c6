//! Rounding to f16, half to even, subnormals included: `pack2x16float` truncates or flushes on some adapters. What is past f16 becomes inf, and
//! NaN stays: attention shows both, where the largest number in their place would be wrong without a word.

fn f16_bits(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    // From here on the next f16 is inf, which the sum below carries to.
    let magnitude = min(bits & 0x7fffffffu, 0x477ff000u);
    let normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u;
    let subnormal = u32(round(bitcast<f32>(magnitude) * 16777216.0));
    let rounded = select(normal, subnormal, magnitude < 0x38800000u);
    return ((bits >> 16u) & 0x8000u) | select(rounded, 0x7e00u, is_nan(x));
}

// The bits, as an f32, of what f16 holds of the scale of a block of Q8_0.
fn f16_scale(scale: f32) -> u32 {
    let bits = f16_bits(scale);
    return select(bitcast<u32>(f16_exact(bits)), 0x7f800000u | ((bits & 0x3ffu) << 13u), bits >= 0x7c00u);
}

// Bits of magnitudes order as the magnitudes do, with inf and NaN above all numbers.
fn magnitude_bits(x: f32) -> u32 {
    return bitcast<u32>(x) & 0x7fffffffu;
}

fn pack_half(pair: vec2<f32>) -> u32 {
    return f16_bits(pair.x) | (f16_bits(pair.y) << 16u);
}

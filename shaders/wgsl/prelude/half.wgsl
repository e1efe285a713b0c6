//! Rounding to f16, half to even, subnormals included: `pack2x16float` truncates or flushes on some adapters. Too large saturates.

fn f16_bits(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let magnitude = min(bits & 0x7fffffffu, 0x477fe000u);
    let normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u;
    let subnormal = u32(round(bitcast<f32>(magnitude) * 16777216.0));
    return ((bits >> 16u) & 0x8000u) | select(normal, subnormal, magnitude < 0x38800000u);
}

fn pack_half(pair: vec2<f32>) -> u32 {
    return f16_bits(pair.x) | (f16_bits(pair.y) << 16u);
}

//! The 16 values that indices of IQ4_NL and IQ4_XS stand for. Source: ggml `kvalues_iq4nl`.

// Four values a word, as signed bytes.
const IQ4_VALUES = vec4<u32>(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);

// The values of four indices, one in the low nibble of each byte.
fn iq4_values(indices: u32) -> u32 {
    var words = 0u;
    for (var i = 0u; i < 4u; i++) {
        let index = (indices >> (8u * i)) & 15u;
        let low = select(IQ4_VALUES.x, IQ4_VALUES.y, (index & 4u) != 0u);
        let high = select(IQ4_VALUES.z, IQ4_VALUES.w, (index & 4u) != 0u);
        let word = select(low, high, (index & 8u) != 0u);
        words |= ((word >> (8u * (index & 3u))) & 255u) << (8u * i);
    }
    return words;
}

fn iq4_packed(w: vec4<u32>) -> Packed {
    let lo = w & vec4(0x0f0f0f0fu);
    let hi = (w >> vec4(4u)) & vec4(0x0f0f0f0fu);
    return Packed(
        vec4(iq4_values(lo.x), iq4_values(lo.y), iq4_values(lo.z), iq4_values(lo.w)),
        vec4(iq4_values(hi.x), iq4_values(hi.y), iq4_values(hi.z), iq4_values(hi.w)),
    );
}

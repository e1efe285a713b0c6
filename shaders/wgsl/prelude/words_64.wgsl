//! Four words of memory as two of 64 bits: software adapters load each component on its own, so half as many take half as long.
//! Needs: 64-bit integers.

alias Words = vec2<u64>;

fn words(v: Words) -> vec4<u32> {
    return vec4(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u));
}

fn of_words(v: vec4<u32>) -> Words {
    return vec2(u64(v.x) | u64(v.y) << 32u, u64(v.z) | u64(v.w) << 32u);
}

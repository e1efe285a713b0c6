//! Philox4x32-10. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

// The high and low words of a product, from 16-bit halves: WGSL has no wide multiplication.
fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let mid = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let mid_low = (a & 0xffffu) * (b >> 16u) + (mid & 0xffffu);
    return vec2((a >> 16u) * (b >> 16u) + (mid >> 16u) + (mid_low >> 16u), a * b);
}

fn philox(counter_start: vec4<u32>, key_start: vec2<u32>) -> vec4<u32> {
    var counter = counter_start;
    var key = key_start;
    for (var round = 0u; round < 10u; round++) {
        let a = multiply_wide(counter.x, 0xD2511F53u);
        let b = multiply_wide(counter.z, 0xCD9E8D57u);
        counter = vec4(b.x ^ counter.y ^ key.x, b.y, a.x ^ counter.w ^ key.y, a.y);
        key += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// A word as a number in [0, 1) with 24 bits.
fn unit(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604644775390625e-8;
}

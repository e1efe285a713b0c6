//! Eight-bit products two at a time in one multiplication of 32 bits, where packed dot products are emulated byte by byte; for weights of
//! at most six bits without sign. With x = x0 + 2^16 x1 and y = y1 + 2^16 y0, x · y = x0 y1 + 2^16 (x0 y0 + x1 y1) modulo 2^32: products
//! add up, and as long as both sums fit in 16 bits, rounding to a multiple of 2^16 leaves the upper one, exactly.
//! WORDS_AT_ONCE words of four products each may be added up before that: with |y| ≤ 127, four of weights of four bits, two of five, one of six.

// Words of four activations as factors of bytes 0 and 2, and of bytes 1 and 3.
struct Factors {
    lo_even: vec4<i32>,
    lo_odd: vec4<i32>,
    hi_even: vec4<i32>,
    hi_odd: vec4<i32>,
}

fn factors(a: Packed) -> Factors {
    return Factors(even_factors(a.lo), even_factors(a.lo >> vec4(8u)), even_factors(a.hi), even_factors(a.hi >> vec4(8u)));
}

// Signed bytes 0 and 2 of each word: byte 2 + 2^16 · byte 0.
fn even_factors(words: vec4<u32>) -> vec4<i32> {
    let a = bitcast<vec4<i32>>(words);
    return ((a << vec4(8u)) >> vec4(24u)) + ((a << vec4(24u)) >> vec4(8u));
}

// Σ q · a over each half of a group.
fn dot_halves(q: Packed, a: Factors) -> vec2<i32> {
    return vec2(dot_half(q.lo, a.lo_even, a.lo_odd), dot_half(q.hi, a.hi_even, a.hi_odd));
}

fn dot_half(q: vec4<u32>, even: vec4<i32>, odd: vec4<i32>) -> i32 {
    let low = bitcast<vec4<i32>>(q & vec4(0x00ff00ffu)) * even;
    let high = bitcast<vec4<i32>>((q >> vec4(8u)) & vec4(0x00ff00ffu)) * odd;
    let words = low + high;
    if WORDS_AT_ONCE == 4u {
        return upper(words.x + words.y + words.z + words.w);
    }
    if WORDS_AT_ONCE == 2u {
        return upper(words.x + words.y) + upper(words.z + words.w);
    }
    return upper(words.x) + upper(words.y) + upper(words.z) + upper(words.w);
}

fn upper(sum: i32) -> i32 {
    return (sum + 0x8000) >> 16u;
}

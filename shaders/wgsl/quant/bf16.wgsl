//! BF16 weights: the high halves of f32.
//! Expects: words

// [N, K / 32, 4] words of two values, rows padded to groups of 32.
@group(0) @binding(3) var<storage, read> quants: array<Words>;

fn widen_pair(word: u32) -> vec2<f32> {
    return vec2(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}

fn weight_values(group: u32) -> Values {
    var out: Values;
    for (var i = 0u; i < 4u; i++) {
        let w = words(quants[group * 4u + i]);
        out.v[2u * i] = vec4(widen_pair(w.x), widen_pair(w.y));
        out.v[2u * i + 1u] = vec4(widen_pair(w.z), widen_pair(w.w));
    }
    return out;
}

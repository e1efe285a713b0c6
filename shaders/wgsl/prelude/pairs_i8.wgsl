//! Pairs of neighbouring groups of eight-bit activations, and their products with a pair of groups of weights.
//! Expects: activations, factors, block_dot

struct PairActivations {
    a: Factors,
    b: Factors,
    scales: vec2<f32>,
    halves: vec4<i32>,
}

fn pair_activations(token: u32, pair: u32) -> PairActivations {
    let a = activations(token, 2u * pair);
    let b = activations(token, 2u * pair + 1u);
    return PairActivations(factors(a.q), factors(b.q), vec2(a.scale, b.scale), vec4(a.halves, b.halves));
}

fn pair_dot(w: Pair, x: PairActivations) -> f32 {
    return block_dot(w[0], x.a, x.scales.x, x.halves.xy) + block_dot(w[1], x.b, x.scales.y, x.halves.zw);
}

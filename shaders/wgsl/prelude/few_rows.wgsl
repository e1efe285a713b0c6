//! The eight-bit activations of a few rows, as `quantize` left them in its buffers.
//! Expects: words

// [T, 2, K / 32] of four words: the quants of each half of the groups, so that neighbouring lanes read neighbours.
@group(0) @binding(2) var<storage, read> x_quants: array<Words>;
// [T, K / 32]: a group's scale, and the sums of its halves in 16 bits each; then for each row what the norm multiplies its sums with.
@group(0) @binding(5) var<storage, read> x_groups: array<vec2<u32>>;

fn activations(token: u32, group: u32) -> Activations {
    let first = token * (2u * GROUPS) + group;
    let s = x_groups[token * GROUPS + group];
    let halves = bitcast<i32>(s.y);
    return Activations(Packed(words(x_quants[first]), words(x_quants[first + GROUPS])), bitcast<f32>(s.x), vec2((halves << 16u) >> 16u, halves >> 16u));
}

fn row_scale(token: u32) -> f32 {
    return bitcast<f32>(x_groups[step.rows * GROUPS + token].x);
}

//! Two neighbouring groups of Q6_K in four loads: their high bits lie in one.
//! Needs: 64-bit integers.

// [N, K / 64]: the scales of two groups.
@group(0) @binding(4) var<storage, read> scale_pairs: array<vec2<u32>>;

fn load_pair(pair: u32) -> Pair {
    let high = words(quants[3u * pair + 2u]);
    let scale = scale_pairs[pair];
    return Pair(Block(words(quants[3u * pair]), high.xy, scale.x), Block(words(quants[3u * pair + 1u]), high.zw, scale.y));
}

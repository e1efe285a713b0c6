//! Neighbouring pairs of groups of Q6_K: three loads for a pair's quants, as its high bits lie in one; four pairs, one load of their scales.
//! Needs: 64-bit integers.
//! Expects: words

// [N, K / 256]: the scales of eight groups.
@group(0) @binding(4) var<storage, read> scale_quads: array<vec4<u64>>;
// [N, K / 64]: the scales of two groups.
@group(0) @binding(4) var<storage, read> scale_pairs: array<vec2<u32>>;

struct Pairs {
    first: u32,
    // Of pairs 0 and 1, and of 2 and 3.
    low: vec4<u32>,
    high: vec4<u32>,
}

fn load_pairs(first: u32) -> Pairs {
    if AT_ONCE == 4u {
        let scale = scale_quads[first / 4u];
        return Pairs(first, words(scale.xy), words(scale.zw));
    }
    return Pairs(first, vec4<u32>(), vec4<u32>());
}

fn load_pair(pairs: Pairs, i: u32) -> Pair {
    let pair = pairs.first + i;
    let high = words(quants[3u * pair + 2u]);
    let four = select(pairs.low, pairs.high, i >= 2u);
    var scale = select(four.xy, four.zw, i % 2u == 1u);
    if AT_ONCE < 4u {
        scale = scale_pairs[pair];
    }
    return Pair(Block(words(quants[3u * pair]), high.xy, scale.x), Block(words(quants[3u * pair + 1u]), high.zw, scale.y));
}

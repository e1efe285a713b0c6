//! Neighbouring pairs of groups of Q8_0: two loads for each pair's quants, one for the scales of four pairs.
//! Needs: 64-bit integers.

// [N, K / 32]: the quants of a group.
@group(0) @binding(3) var<storage, read> group_quants: array<vec4<u64>>;
// [N, K / 256]: the scales of eight groups.
@group(0) @binding(4) var<storage, read> scale_quads: array<vec2<u64>>;

struct Pairs {
    first: u32,
    scales: vec4<u32>,
}

fn load_pairs(first: u32) -> Pairs {
    if AT_ONCE == 4u {
        return Pairs(first, words(scale_quads[first / 4u]));
    }
    return Pairs(first, vec4<u32>());
}

fn load_pair(pairs: Pairs, i: u32) -> Pair {
    let pair = pairs.first + i;
    let a = group_quants[2u * pair];
    let b = group_quants[2u * pair + 1u];
    var scale = pairs.scales[i];
    if AT_ONCE < 4u {
        scale = scales[pair];
    }
    return Pair(Block(0u, Packed(words(a.xy), words(a.zw)), scale), Block(1u, Packed(words(b.xy), words(b.zw)), scale));
}

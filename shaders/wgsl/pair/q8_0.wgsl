//! Neighbouring pairs of groups of Q8_0: two loads for a pair's quants.
//! Needs: 64-bit integers.
//! Expects: pair_scales, words

// [N, K / 32]: the quants of a group.
@group(0) @binding(3) var<storage, read> group_quants: array<vec4<u64>>;

fn load_pair(pairs: Pairs, i: u32) -> Pair {
    let group = 2u * (pairs.first + i);
    let a = group_quants[group];
    let b = group_quants[group + 1u];
    let scale = pair_scales(pairs, i);
    return Pair(Block(0u, Packed(words(a.xy), words(a.zw)), scale), Block(1u, Packed(words(b.xy), words(b.zw)), scale));
}

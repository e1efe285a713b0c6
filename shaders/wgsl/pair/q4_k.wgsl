//! Neighbouring pairs of groups of Q4_K, all of one block: a load for each pair's quants and its scales, one for the block's.
//! Needs: 64-bit integers.

// [N, K / 64]: the quants of two groups.
@group(0) @binding(3) var<storage, read> quant_pairs: array<vec4<u64>>;

struct Pairs {
    first: u32,
    both: u32,
}

fn load_pairs(first: u32) -> Pairs {
    return Pairs(first, scales[(first >> 2u) * 5u]);
}

fn load_pair(pairs: Pairs, i: u32) -> Pair {
    let pair = pairs.first + i;
    let q = quant_pairs[pair];
    let parts = scales[(pair >> 2u) * 5u + 1u + (pair & 3u)];
    return Pair(Block(0u, words(q.xy), pairs.both, parts), Block(1u, words(q.zw), pairs.both, parts));
}

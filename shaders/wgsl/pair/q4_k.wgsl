//! Neighbouring pairs of groups of one block of Q4_K: one load for a pair's quants and one for its scales' parts, one for what the block shares.
//! Needs: 64-bit integers.
//! Expects: words

// [N, K / 64]: the quants of two groups.
@group(0) @binding(3) var<storage, read> quant_pairs: array<vec4<u64>>;

struct Pairs {
    first: u32,
    // Where the block's scales begin, and their first word.
    block: u32,
    both: u32,
}

fn load_pairs(first: u32) -> Pairs {
    let block = (first >> 2u) * 5u;
    return Pairs(first, block, scales[block]);
}

fn load_pair(pairs: Pairs, i: u32) -> Pair {
    let pair = pairs.first + i;
    let q = quant_pairs[pair];
    let parts = scales[pairs.block + 1u + (pair & 3u)];
    return Pair(Block(0u, words(q.xy), pairs.both, parts), Block(1u, words(q.zw), pairs.both, parts));
}

//! Neighbouring pairs of groups of Q5_K, all of one block: four loads for each pair, one for the block's scales.
//! Needs: 64-bit integers.

// [N, K / 64]: the nibbles of two groups.
@group(0) @binding(3) var<storage, read> quant_pairs: array<vec4<u64>>;

struct Pairs {
    first: u32,
    both: u32,
}

fn load_pairs(first: u32) -> Pairs {
    return Pairs(first, scales[(first >> 2u) * 13u]);
}

fn load_pair(pairs: Pairs, i: u32) -> Pair {
    let pair = pairs.first + i;
    let q = quant_pairs[pair];
    let block = (pair >> 2u) * 13u;
    let parts = scales[block + 1u + (pair & 3u)];
    let high = block + 5u + 2u * (pair & 3u);
    return Pair(
        Block(0u, words(q.xy), scales[high], pairs.both, parts),
        Block(1u, words(q.zw), scales[high + 1u], pairs.both, parts),
    );
}

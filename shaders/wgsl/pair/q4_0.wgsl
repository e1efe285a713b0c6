//! Neighbouring pairs of groups of Q4_0: one load for a pair's quants.
//! Needs: 64-bit integers.
//! Expects: pair_scales, words

// [N, K / 64]: the quants of two groups.
@group(0) @binding(3) var<storage, read> quant_pairs: array<vec4<u64>>;

fn load_pair(pairs: Pairs, i: u32) -> Pair {
    let q = quant_pairs[pairs.first + i];
    let scale = pair_scales(pairs, i);
    return Pair(Block(0u, words(q.xy), scale), Block(1u, words(q.zw), scale));
}

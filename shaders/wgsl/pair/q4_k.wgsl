//! Two neighbouring groups of Q4_K in three loads: they share the word of their scales.
//! Needs: 64-bit integers.

// [N, K / 64]: the quants of two groups.
@group(0) @binding(3) var<storage, read> quant_pairs: array<vec4<u64>>;

fn load_pair(pair: u32) -> Pair {
    let q = quant_pairs[pair];
    let first = (pair >> 2u) * 5u;
    let both = scales[first];
    let parts = scales[first + 1u + (pair & 3u)];
    return Pair(Block(0u, words(q.xy), both, parts), Block(1u, words(q.zw), both, parts));
}

//! Two neighbouring groups of Q4_0 in two loads.
//! Needs: 64-bit integers.

// [N, K / 64]: the quants of two groups.
@group(0) @binding(3) var<storage, read> quant_pairs: array<vec4<u64>>;

fn load_pair(pair: u32) -> Pair {
    let q = quant_pairs[pair];
    let scale = scales[pair];
    return Pair(Block(0u, words(q.xy), scale), Block(1u, words(q.zw), scale));
}

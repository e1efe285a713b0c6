//! Two neighbouring groups of Q8_0 in three loads.
//! Needs: 64-bit integers.

// [N, K / 32]: the quants of a group.
@group(0) @binding(3) var<storage, read> quant_pairs: array<vec4<u64>>;

fn load_pair(pair: u32) -> Pair {
    let a = quant_pairs[2u * pair];
    let b = quant_pairs[2u * pair + 1u];
    let scale = scales[pair];
    return Pair(Block(0u, Packed(words(a.xy), words(a.zw)), scale), Block(1u, Packed(words(b.xy), words(b.zw)), scale));
}

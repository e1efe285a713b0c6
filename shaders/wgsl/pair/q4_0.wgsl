//! Neighbouring pairs of groups of Q4_0: a load for each pair's quants, one for the scales of four pairs.
//! Needs: 64-bit integers.

// [N, K / 64]: the quants of two groups.
@group(0) @binding(3) var<storage, read> quant_pairs: array<vec4<u64>>;
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
    let q = quant_pairs[pairs.first + i];
    var scale = pairs.scales[i];
    if AT_ONCE < 4u {
        scale = scales[pairs.first + i];
    }
    return Pair(Block(0u, words(q.xy), scale), Block(1u, words(q.zw), scale));
}

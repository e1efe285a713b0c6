//! What neighbouring pairs of groups of a format with an f16 scale a group share: four pairs, one load of their scales. See the format's own
//! fragment of a pair.
//! Needs: 64-bit integers.
//! Expects: words

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

// The two scales of a pair.
fn pair_scales(pairs: Pairs, i: u32) -> u32 {
    var both = pairs.scales[i];
    if AT_ONCE < 4u {
        both = scales[pairs.first + i];
    }
    return both;
}

//! MXFP4: value = 2^(e - 128) · TABLE[q], the table holding twice each four-bit float. Source: OCP Microscaling Formats 1.0, ggml
//! `block_mxfp4`.
//! Expects: words

// [N, K / 32]: nibbles as in Q4_0.
@group(0) @binding(3) var<storage, read> quants: array<Words>;
// [N, K / 32] exponent bytes, four a word.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 0;
const WEIGHT_HALVES: bool = false;
const WEIGHT_HAS_MIN: bool = false;

// Twice the floats of four indices, one in the low nibble of each byte: 0, 1, 2, 3, 4, 6, 8, 12, and the same negative.
fn mxfp4_values(indices: u32) -> u32 {
    var words = 0u;
    for (var i = 0u; i < 4u; i++) {
        let index = (indices >> (8u * i)) & 15u;
        let magnitude = (select(0x03020100u, 0x0c080604u, (index & 4u) != 0u) >> (8u * (index & 3u))) & 255u;
        let value = select(magnitude, (0u - magnitude) & 255u, (index & 8u) != 0u);
        words |= value << (8u * i);
    }
    return words;
}

struct Block {
    group: u32,
    q: vec4<u32>,
    exponents: u32,
}

fn load_block(group: u32) -> Block {
    return Block(group, words(quants[group]), scales[group >> 2u]);
}

fn block_packed(b: Block) -> Packed {
    let lo = b.q & vec4(0x0f0f0f0fu);
    let hi = (b.q >> vec4(4u)) & vec4(0x0f0f0f0fu);
    return Packed(
        vec4(mxfp4_values(lo.x), mxfp4_values(lo.y), mxfp4_values(lo.z), mxfp4_values(lo.w)),
        vec4(mxfp4_values(hi.x), mxfp4_values(hi.y), mxfp4_values(hi.z), mxfp4_values(hi.w)),
    );
}

fn block_scales(b: Block) -> vec4<f32> {
    let e = (b.exponents >> (8u * (b.group & 3u))) & 255u;
    // Exponents 0 and 1 are f32 subnormals, which count as 0.
    let d = select(bitcast<f32>((e - 1u) << 23u), 0.0, e < 2u);
    return vec4(d, d, 0.0, 0.0);
}

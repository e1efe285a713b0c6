//! Z6_0: value = d · (q - 32), a scale for each 16.

// [N, K / 32, 2]: 32 bytes in order.
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;
// [N, K / 32]: both scales as f16.
@group(0) @binding(4) var<storage, read> scales: array<u32>;

const WEIGHT_ZERO: i32 = 32;
const WEIGHT_HALVES: bool = true;
const WEIGHT_HAS_MIN: bool = false;

struct Block {
    q: Packed,
    scale: u32,
}

fn load_block(group: u32) -> Block {
    return Block(Packed(quants[group * 2u], quants[group * 2u + 1u]), scales[group]);
}

fn block_packed(b: Block) -> Packed {
    return b.q;
}

fn block_scales(b: Block) -> vec4<f32> {
    return vec4(f16_half(b.scale, 0u), f16_half(b.scale, 1u), 0.0, 0.0);
}

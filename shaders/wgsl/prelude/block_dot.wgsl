//! A block of weights times a group of activations; integer dot products (prelude/dot_packed or prelude/dot_pairs) and two products of scales.

// With activations a_scale · a, `sums` those of a over each half.
fn block_dot(b: Block, a: Factors, a_scale: f32, sums: vec2<i32>) -> f32 {
    let s = block_scales(b) * a_scale;
    let dots = dot_halves(block_packed(b), a) - WEIGHT_ZERO * sums;
    var total = 0.0;
    if WEIGHT_HALVES {
        total = s.x * f32(dots.x) + s.y * f32(dots.y);
    } else {
        total = s.x * f32(dots.x + dots.y);
    }
    if WEIGHT_HAS_MIN {
        total -= s.z * f32(sums.x) + s.w * f32(sums.y);
    }
    return total;
}

//! What the kernels of eight-bit activations share: a block of weights times a group of activations, as integer dot products (prelude/dot_packed
//! or prelude/dot_pairs) and two products of scales, and the sums of rows over their lanes (prelude/reduce).
//! Expects: block_scales, dot_halves, block_packed, lanes_sum

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

// Adds up each row over its lanes, and leaves the sums to the epilogue.
fn leave_sums(acc: ptr<function, array<f32, ROWS>>, first_slot: u32, scale: f32, local: u32) {
    let lane = local % LANES;
    for (var first = 0u; first < ROWS; first += 4u) {
        let n = min(ROWS - first, 4u);
        var four = vec4(0.0);
        for (var i = 0u; i < n; i++) {
            four[i] = (*acc)[first + i];
        }
        let total = lanes_sum(four, local) * scale;
        if lane < n {
            sums[first_slot + first + lane] = total[lane];
        }
    }
}

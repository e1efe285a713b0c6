//! Activations in eight bits, a group of 32 an invocation: what adapters without subgroups use.

// Quantizes the row into `packed_x`, `x_scales` and `x_halves`. Returns this invocation's part of the sum of squares before the norm's weight.
fn quantize_row(local: u32) -> f32 {
    var squares = 0.0;
    for (var group = local; group < GROUPS; group += WORKGROUP) {
        var v: array<vec4<f32>, 8>;
        var size = vec4(0.0);
        for (var i = 0u; i < 8u; i++) {
            let raw = x_quad(0u, group * 8u + i);
            squares += dot(raw, raw);
            v[i] = weigh(raw, group * 8u + i);
            size = max(size, abs(v[i]));
        }
        let most = max(max(size.x, size.y), max(size.z, size.w));
        let inverse = select(0.0, 127.0 / most, most > 1e-30);
        for (var half = 0u; half < 2u; half++) {
            var sum = vec4(0);
            for (var i = 0u; i < 4u; i++) {
                let q = vec4<i32>(round(v[half * 4u + i] * inverse));
                packed_x[(half * 4u + i) * X_STRIDE + group] = pack4xI8(q);
                sum += q;
            }
            x_halves[group * 2u + half] = sum.x + sum.y + sum.z + sum.w;
        }
        x_scales[group] = most / 127.0;
    }
    return squares;
}

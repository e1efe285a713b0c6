//! Activations in eight bits, four values an invocation, with subgroups of at least 8.

// Quantizes the row into `packed_x`, `x_scales` and `x_halves`. Returns this invocation's part of the sum of squares before the norm's weight.
fn quantize_row(local: u32) -> f32 {
    var squares = 0.0;
    for (var first = 0u; first < K / 4u; first += WORKGROUP) {
        // Eight neighbours share a group; those past the end repeat the last quad and write nothing.
        let inside = first + local < K / 4u;
        let quad = min(first + local, K / 4u - 1u);
        let raw = x_quad(0u, quad);
        let v = weigh(raw, quad);
        squares += select(0.0, dot(raw, raw), inside);
        let size = abs(v);
        var most = max(max(size.x, size.y), max(size.z, size.w));
        most = max(most, subgroupShuffleXor(most, 1u));
        most = max(most, subgroupShuffleXor(most, 2u));
        most = max(most, subgroupShuffleXor(most, 4u));
        let q = vec4<i32>(round(v * select(0.0, 127.0 / most, most > 1e-30)));
        var sum = q.x + q.y + q.z + q.w;
        sum += subgroupShuffleXor(sum, 1u);
        sum += subgroupShuffleXor(sum, 2u);
        if inside {
            let group = quad / 8u;
            packed_x[quad % 8u * X_STRIDE + group] = pack4xI8(q);
            if quad % 4u == 0u {
                x_halves[quad / 4u] = sum;
            }
            if quad % 8u == 0u {
                x_scales[group] = most / 127.0;
            }
        }
    }
    return squares;
}

//! Activations in eight bits, four values an invocation, with subgroups of at least 8.
//! Expects: x_quad, weigh, keep_word, keep_group

// Quantizes a row's chunks of 4 · WORKGROUP values: `chunk`, and each `n_chunks` further. Returns this invocation's part of their sum of squares
// before the norm's weight.
fn quantize_row(token: u32, chunk: u32, n_chunks: u32, local: u32) -> f32 {
    var squares = 0.0;
    for (var first = chunk * WORKGROUP; first < K / 4u; first += n_chunks * WORKGROUP) {
        // Eight neighbours share a group; those past the end repeat the last quad and write nothing.
        let inside = first + local < K / 4u;
        let quad = min(first + local, K / 4u - 1u);
        let raw = x_quad(token, quad);
        let v = weigh(raw, quad);
        squares += select(0.0, dot(raw, raw), inside);
        // Bits of magnitudes order as the magnitudes do, with inf and NaN above all numbers: a group that holds one gets such a scale.
        let size = bitcast<vec4<u32>>(v) & vec4(0x7fffffffu);
        var most_bits = max(max(size.x, size.y), max(size.z, size.w));
        most_bits = max(most_bits, subgroupShuffleXor(most_bits, 1u));
        most_bits = max(most_bits, subgroupShuffleXor(most_bits, 2u));
        most_bits = max(most_bits, subgroupShuffleXor(most_bits, 4u));
        let most = bitcast<f32>(most_bits);
        let q = vec4<i32>(round(v * select(0.0, 127.0 / most, most > 1e-30)));
        var sum = q.x + q.y + q.z + q.w;
        sum += subgroupShuffleXor(sum, 1u);
        sum += subgroupShuffleXor(sum, 2u);
        let second = subgroupShuffleXor(sum, 4u);
        if inside {
            keep_word(token, quad, pack4xI8(q));
            if quad % 8u == 0u {
                keep_group(token, quad / 8u, most / 127.0, vec2(sum, second));
            }
        }
    }
    return squares;
}

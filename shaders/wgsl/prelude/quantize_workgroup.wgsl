//! Activations in eight bits, a group of 32 an invocation: what adapters without subgroups use, and software adapters, where a load of four
//! words costs little more than one.
//! Expects: x_quad, weigh, keep_half, keep_group

// Quantizes a row's chunks of WORKGROUP groups: `chunk`, and each `n_chunks` further. Returns this invocation's part of their sum of squares
// before the norm's weight.
fn quantize_row(token: u32, chunk: u32, n_chunks: u32, local: u32) -> f32 {
    var squares = 0.0;
    for (var group = chunk * WORKGROUP + local; group < GROUPS; group += n_chunks * WORKGROUP) {
        var v: array<vec4<f32>, 8>;
        // Bits of magnitudes order as the magnitudes do, with inf and NaN above all numbers: a group that holds one gets such a scale.
        var size = vec4(0u);
        for (var i = 0u; i < 8u; i++) {
            let raw = x_quad(token, group * 8u + i);
            squares += dot(raw, raw);
            v[i] = weigh(raw, group * 8u + i);
            size = max(size, bitcast<vec4<u32>>(v[i]) & vec4(0x7fffffffu));
        }
        let most = bitcast<f32>(max(max(size.x, size.y), max(size.z, size.w)));
        let inverse = select(0.0, 127.0 / most, most > 1e-30);
        var halves = vec2(0);
        for (var half = 0u; half < 2u; half++) {
            var packed = vec4(0u);
            var sum = vec4(0);
            for (var i = 0u; i < 4u; i++) {
                let q = vec4<i32>(round(v[half * 4u + i] * inverse));
                packed[i] = pack4xI8(q);
                sum += q;
            }
            keep_half(token, group, half, packed);
            halves[half] = sum.x + sum.y + sum.z + sum.w;
        }
        keep_group(token, group, most / 127.0, halves);
    }
    return squares;
}

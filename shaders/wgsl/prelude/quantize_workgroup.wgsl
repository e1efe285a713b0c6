//! Activations in eight bits, a group of 32 an invocation: what adapters without subgroups use, and software adapters, where a load of four
//! words costs little more than one.
//! Expects: words, x_quad, weigh, of_words

// Two for each group: the quants of its halves.
var<workgroup> packed_x: array<Words, 2u * GROUPS>;
// Scale; sums of the quants of both halves, as bits.
var<workgroup> packed_scales: array<vec4<u32>, GROUPS>;

fn activations(group: u32) -> Activations {
    let s = packed_scales[group];
    return Activations(Packed(words(packed_x[2u * group]), words(packed_x[2u * group + 1u])), bitcast<f32>(s.x), bitcast<vec2<i32>>(s.yz));
}

// Quantizes the row into workgroup memory. Returns this invocation's part of the sum of squares before the norm's weight.
fn quantize_row(local: u32) -> f32 {
    var squares = 0.0;
    for (var group = local; group < GROUPS; group += WORKGROUP) {
        var v: array<vec4<f32>, 8>;
        // Bits of magnitudes order as the magnitudes do, with inf and NaN above all numbers: a group that holds one gets such a scale.
        var size = vec4(0u);
        for (var i = 0u; i < 8u; i++) {
            let raw = x_quad(0u, group * 8u + i);
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
            packed_x[2u * group + half] = of_words(packed);
            halves[half] = sum.x + sum.y + sum.z + sum.w;
        }
        packed_scales[group] = vec4(bitcast<u32>(most / 127.0), bitcast<vec2<u32>>(halves), 0u);
    }
    return squares;
}

//! F16 weights, widened on reading. An adapter that flushes f16 subnormals reads weights below 6.1e-5 as 0.
//! Expects: words

// [N, K / 32, 4] words of two values, rows padded to groups of 32.
@group(0) @binding(3) var<storage, read> quants: array<Words>;

fn weight_values(group: u32) -> Values {
    var out: Values;
    for (var i = 0u; i < 4u; i++) {
        let w = words(quants[group * 4u + i]);
        out.v[2u * i] = vec4(unpack2x16float(w.x), unpack2x16float(w.y));
        out.v[2u * i + 1u] = vec4(unpack2x16float(w.z), unpack2x16float(w.w));
    }
    return out;
}

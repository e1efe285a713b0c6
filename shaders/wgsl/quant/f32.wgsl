//! F32 weights.

// [N, K / 32, 8] values, rows padded to groups of 32.
@group(0) @binding(3) var<storage, read> quants: array<vec4<f32>>;

fn weight_values(group: u32) -> Values {
    var out: Values;
    for (var i = 0u; i < 8u; i++) {
        out.v[i] = quants[group * 8u + i];
    }
    return out;
}

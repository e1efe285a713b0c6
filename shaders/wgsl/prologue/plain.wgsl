//! Activations as they are; K is a multiple of 32.

// [T, K / 4]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;

fn prepare(first_token: u32, rows: u32, local: u32) {
}

// The 32 values of `group` of a token; `column` is the token's index in the workgroup's tile.
fn load_x(column: u32, token: u32, group: u32) -> Values {
    let at = token * (K / 4u) + group * 8u;
    var out: Values;
    for (var i = 0u; i < 8u; i++) {
        out.v[i] = x[at + i];
    }
    return out;
}

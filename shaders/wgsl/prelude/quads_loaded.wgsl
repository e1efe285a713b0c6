//! The activations of a group: each invocation loads them all.
//! Expects: x_quad

fn group_quads(token: u32, group: u32, local: u32) -> array<vec4<f32>, 8> {
    var quads: array<vec4<f32>, 8>;
    for (var i = 0u; i < 8u; i++) {
        quads[i] = x_quad(token, group * 8u + i);
    }
    return quads;
}

//! Plain float weights: what every kernel asks of a weight, from the fragment's `weight_values`. Rows are padded to whole groups of 32 with 0.

struct Values {
    v: array<vec4<f32>, 8>,
}

fn weight_dot(group: u32, x: Values) -> f32 {
    let w = weight_values(group);
    var total = dot(w.v[0], x.v[0]) + dot(w.v[1], x.v[1]);
    total += dot(w.v[2], x.v[2]) + dot(w.v[3], x.v[3]);
    total += dot(w.v[4], x.v[4]) + dot(w.v[5], x.v[5]);
    total += dot(w.v[6], x.v[6]) + dot(w.v[7], x.v[7]);
    return total;
}

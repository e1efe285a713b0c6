//! Plain float weights: what every kernel asks of a weight, from the fragment's `weight_values`. Rows are padded to whole groups of 32 with 0.
//! Expects: weight_values

struct Values {
    v: array<vec4<f32>, 8>,
}

struct HalfValues {
    v: array<vec4<f32>, 4>,
}

struct Block {
    group: u32,
}

// Nothing is gained by asking early for a group that takes eight registers.
fn load_block(group: u32) -> Block {
    return Block(group);
}

fn half_values(b: Block, half: u32) -> HalfValues {
    let w = weight_values(b.group);
    var out: HalfValues;
    for (var i = 0u; i < 4u; i++) {
        out.v[i] = select(w.v[i], w.v[i + 4u], half == 1u);
    }
    return out;
}

// What a kernel reads of a group once, for several rows of activations.
alias Held = Values;

fn hold(group: u32) -> Held {
    return weight_values(group);
}

fn held_dot(w: Held, x: Values) -> f32 {
    var total = dot(w.v[0], x.v[0]) + dot(w.v[1], x.v[1]);
    total += dot(w.v[2], x.v[2]) + dot(w.v[3], x.v[3]);
    total += dot(w.v[4], x.v[4]) + dot(w.v[5], x.v[5]);
    total += dot(w.v[6], x.v[6]) + dot(w.v[7], x.v[7]);
    return total;
}

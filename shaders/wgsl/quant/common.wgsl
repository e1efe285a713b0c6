//! Block formats as integers: what every kernel asks of a weight, from the fragment's `Block`. `load_block` reads a group and computes
//! nothing, so that a kernel may ask for it early; `block_packed` and `block_scales` take it apart. A group is 32 consecutive weights of a row; value = scale · (q - WEIGHT_ZERO) - min, with a scale and a min for each half.
//! Expects: load_block, block_packed, block_scales

struct Packed {
    lo: vec4<u32>,
    hi: vec4<u32>,
}

// A group of activations: scale · q, and the sums of q over each half.
struct Activations {
    q: Packed,
    scale: f32,
    halves: vec2<i32>,
}

// Two neighbouring groups of a row.
alias Pair = array<Block, 2>;

struct Values {
    v: array<vec4<f32>, 8>,
}

struct HalfValues {
    v: array<vec4<f32>, 4>,
}

// The quants of a word as floats, exactly: a byte q + 128 in the low bits of the f16 1024 is 1152 + q. Conversions of integers are slow on
// many GPUs, those of f16 are not.
fn weight_floats(word: u32) -> vec4<f32> {
    let bytes = word ^ 0x80808080u;
    let even = unpack2x16float((bytes & 0x00ff00ffu) | 0x64006400u);
    let odd = unpack2x16float(((bytes >> 8u) & 0x00ff00ffu) | 0x64006400u);
    return vec4(even.x, odd.x, even.y, odd.y) - f32(1152 + WEIGHT_ZERO);
}

fn weight_values(group: u32) -> Values {
    let b = load_block(group);
    let q = block_packed(b);
    let s = block_scales(b);
    var out: Values;
    for (var i = 0u; i < 4u; i++) {
        out.v[i] = s.x * weight_floats(q.lo[i]);
        out.v[i + 4u] = s.y * weight_floats(q.hi[i]);
        if WEIGHT_HAS_MIN {
            out.v[i] -= s.z;
            out.v[i + 4u] -= s.w;
        }
    }
    return out;
}

// Half 0 or 1 of a group.
fn half_values(b: Block, half: u32) -> HalfValues {
    let q = block_packed(b);
    let s = block_scales(b);
    let words = select(q.lo, q.hi, half == 1u);
    let scale = select(s.x, s.y, half == 1u);
    var out: HalfValues;
    for (var i = 0u; i < 4u; i++) {
        out.v[i] = scale * weight_floats(words[i]);
        if WEIGHT_HAS_MIN {
            out.v[i] -= select(s.z, s.w, half == 1u);
        }
    }
    return out;
}

// What a kernel reads of a group once, for several rows of activations.
alias Held = Block;

fn hold(group: u32) -> Held {
    return load_block(group);
}

fn held_dot(b: Held, x: Values) -> f32 {
    let q = block_packed(b);
    let s = block_scales(b);
    var lo = dot(weight_floats(q.lo.x), x.v[0]) + dot(weight_floats(q.lo.y), x.v[1]);
    lo += dot(weight_floats(q.lo.z), x.v[2]) + dot(weight_floats(q.lo.w), x.v[3]);
    var hi = dot(weight_floats(q.hi.x), x.v[4]) + dot(weight_floats(q.hi.y), x.v[5]);
    hi += dot(weight_floats(q.hi.z), x.v[6]) + dot(weight_floats(q.hi.w), x.v[7]);
    var total = s.x * lo + s.y * hi;
    if WEIGHT_HAS_MIN {
        let low = x.v[0] + x.v[1] + x.v[2] + x.v[3];
        let high = x.v[4] + x.v[5] + x.v[6] + x.v[7];
        total -= s.z * dot(low, vec4(1.0)) + s.w * dot(high, vec4(1.0));
    }
    return total;
}

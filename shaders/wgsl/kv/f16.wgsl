//! A cache in f16: reading elements of a head.

// [P, G, PAGE, D / 8]
@group(0) @binding(3) var<storage, read> keys: array<vec4<u32>>;
// [P, G, PAGE, D / 4]
@group(0) @binding(4) var<storage, read> values: array<vec2<u32>>;

struct Oct {
    a: vec4<f32>,
    b: vec4<f32>,
}

fn key_oct(row: u32, oct: u32) -> Oct {
    let w = keys[row * (D_PAD / 8u) + oct];
    return Oct(vec4(unpack2x16float(w.x), unpack2x16float(w.y)), vec4(unpack2x16float(w.z), unpack2x16float(w.w)));
}

fn value_quad(row: u32, quad: u32) -> vec4<f32> {
    let w = values[row * (D_PAD / 4u) + quad];
    return vec4(unpack2x16float(w.x), unpack2x16float(w.y));
}

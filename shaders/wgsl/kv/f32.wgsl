//! A cache in f32: reading elements of a head.

// [P, G, PAGE, D / 4]
@group(0) @binding(3) var<storage, read> keys: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> values: array<vec4<f32>>;

struct Oct {
    a: vec4<f32>,
    b: vec4<f32>,
}

fn key_oct(row: u32, oct: u32) -> Oct {
    let at = row * (D_PAD / 4u) + oct * 2u;
    return Oct(keys[at], keys[at + 1u]);
}

fn value_quad(row: u32, quad: u32) -> vec4<f32> {
    return values[row * (D_PAD / 4u) + quad];
}

//! A cache in Q8_0: 32 signed bytes and a scale, which is an f16's value held as f32. All bytes come first, then all scales.

// [P, G, PAGE, D / 4] words, then [P, G, PAGE, D / 32] scales
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<u32>;

struct Oct {
    a: vec4<f32>,
    b: vec4<f32>,
}

fn key_oct(row: u32, oct: u32) -> Oct {
    let at = row * (D_PAD / 4u) + oct * 2u;
    let scale = bitcast<f32>(keys[step.kv_rows * (D_PAD / 4u) + row * (D_PAD / 32u) + oct / 4u]);
    return Oct(vec4<f32>(unpack4xI8(keys[at])) * scale, vec4<f32>(unpack4xI8(keys[at + 1u])) * scale);
}

fn value_quad(row: u32, quad: u32) -> vec4<f32> {
    let scale = bitcast<f32>(values[step.kv_rows * (D_PAD / 4u) + row * (D_PAD / 32u) + quad / 8u]);
    return vec4<f32>(unpack4xI8(values[row * (D_PAD / 4u) + quad])) * scale;
}

//! Writing 32 elements of a head to a cache in f16.

// [G, R, D / 2]
@group(0) @binding(4) var<storage, read_write> cache: array<u32>;

fn kv_store(row: u32, unit: u32, v: array<f32, 32>) {
    var elements = v;
    for (var i = 0u; i < 16u; i++) {
        if unit * 32u + i * 2u < D_PAD {
            cache[(row * D_PAD + unit * 32u) / 2u + i] = pack_half(vec2(elements[2u * i], elements[2u * i + 1u]));
        }
    }
}

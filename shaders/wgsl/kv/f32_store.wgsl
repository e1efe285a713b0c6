//! Writing 32 elements of a head to a cache in f32.

// [G, R, D]
@group(0) @binding(4) var<storage, read_write> cache: array<f32>;

fn kv_store(row: u32, unit: u32, v: array<f32, 32>) {
    var elements = v;
    for (var i = 0u; i < 32u; i++) {
        if unit * 32u + i < D_PAD {
            cache[row * D_PAD + unit * 32u + i] = elements[i];
        }
    }
}

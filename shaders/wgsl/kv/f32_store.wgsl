//! Writing elements of a head to a cache in f32, UNIT at a time.

// [P, G, PAGE, D]
@group(0) @binding(4) var<storage, read_write> cache: array<f32>;

const UNIT: u32 = 8u;

fn kv_store(row: u32, unit: u32, v: array<f32, UNIT>) {
    var elements = v;
    for (var i = 0u; i < UNIT; i++) {
        cache[row * D_PAD + unit * UNIT + i] = elements[i];
    }
}

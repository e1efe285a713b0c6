//! Writing elements of a head to a cache in f16, UNIT at a time.
//! Expects: pack_half

// [P, G, PAGE, D / 2]
@group(0) @binding(4) var<storage, read_write> cache: array<u32>;

const UNIT: u32 = 8u;

fn kv_store(row: u32, unit: u32, v: array<f32, UNIT>) {
    var elements = v;
    for (var i = 0u; i < UNIT / 2u; i++) {
        cache[(row * D_PAD + unit * UNIT) / 2u + i] = pack_half(vec2(elements[2u * i], elements[2u * i + 1u]));
    }
}

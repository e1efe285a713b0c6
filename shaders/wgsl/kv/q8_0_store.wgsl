//! Writing 32 elements of a head to a cache in Q8_0: scale max|x| / 127 stored as an f16's value, quants rounded half away from zero.
//! Expects: magnitude_bits, f16_scale

// [P, G, PAGE, D / 4] words, then [P, G, PAGE, D / 32] scales
@group(0) @binding(4) var<storage, read_write> cache: array<u32>;

// A block, which has one scale.
const UNIT: u32 = 32u;

fn kv_store(row: u32, unit: u32, v: array<f32, UNIT>) {
    var elements = v;
    var most_bits = 0u;
    for (var i = 0u; i < 32u; i++) {
        most_bits = max(most_bits, magnitude_bits(elements[i]));
    }
    let most = bitcast<f32>(most_bits);
    let inverse = select(0.0, 127.0 / most, most > 1e-30);
    for (var i = 0u; i < 8u; i++) {
        let x = vec4(elements[4u * i], elements[4u * i + 1u], elements[4u * i + 2u], elements[4u * i + 3u]) * inverse;
        cache[row * (D_PAD / 4u) + unit * 8u + i] = pack4xI8(vec4<i32>(sign(x) * floor(abs(x) + 0.5)));
    }
    cache[step.kv_rows * (D_PAD / 4u) + row * (D_PAD / 32u) + unit] = f16_scale(most / 127.0);
}

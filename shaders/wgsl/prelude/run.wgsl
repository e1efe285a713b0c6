//! What every kernel sees: the run's scalars, and exact widening of f16.

// One block for each run: the numbers of tokens, of segments, and of those of one row that come first, then the plan's scalars.
@group(0) @binding(0) var<uniform> run: array<vec4<u32>, 1024>;

fn run_u32(word: u32) -> u32 {
    return run[(word >> 2u) & 1023u][word & 3u];
}

fn run_i32(word: u32) -> i32 {
    return bitcast<i32>(run_u32(word));
}

fn run_f32(word: u32) -> f32 {
    return bitcast<f32>(run_u32(word));
}

// The rows of this run, of a bucket of `count` where `dynamic` is not 0.
fn rows_of_run(count: u32, dynamic: u32) -> u32 {
    return select(count, min(count, run_u32(0u)), dynamic != 0u);
}

// Whether x is NaN, by its bits: with fast math compilers take it that no float is.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The larger of two, NaN where one is: WGSL's own leaves open which it gives.
fn max_f32(a: f32, b: f32) -> f32 {
    return select(select(max(a, b), b, is_nan(b)), a, is_nan(a));
}

fn min_f32(a: f32, b: f32) -> f32 {
    return select(select(min(a, b), b, is_nan(b)), a, is_nan(a));
}

// The f16 in the low 16 bits, exactly, also where an adapter flushes subnormals on conversion.
fn f16_exact(bits: u32) -> f32 {
    let exponent = (bits >> 10u) & 31u;
    let mantissa = bits & 1023u;
    let normal = bitcast<f32>(((exponent + 112u) << 23u) | (mantissa << 13u));
    let magnitude = select(normal, f32(mantissa) * 5.9604644775390625e-8, exponent == 0u);
    return select(magnitude, -magnitude, (bits & 0x8000u) != 0u);
}

// Half `index` (0 or 1) of a word that holds two f16.
fn f16_half(word: u32, index: u32) -> f32 {
    return f16_exact((word >> (16u * index)) & 0xffffu);
}

// Numbers past what f16 holds as the largest that it does; inf and NaN as they are.
fn within_f16(v: vec4<f32>) -> vec4<f32> {
    let is_number = (bitcast<vec4<u32>>(v) & vec4(0x7fffffffu)) < vec4(0x7f800000u);
    return select(v, clamp(v, vec4(-65504.0), vec4(65504.0)), is_number);
}

// e^x within 2e-7, for x in [-87, 88]: drivers' own may be off by 1e-5 far from 0.
fn exp_f32(x: f32) -> f32 {
    let k = round(x * 1.4426950408889634);
    // ln 2 in two parts, of which the first has few digits: its product is exact.
    let r = (x - k * 0.693359375) + k * 2.1219444005469058e-4;
    let p = 1.0 + r * (1.0 + r * (0.5 + r * (0.16666667 + r * (0.041666668 + r * (0.0083333333 + r * 0.0013888889)))));
    return p * bitcast<f32>(u32(i32(k) + 127) << 23u);
}

//! The elementwise functions where WGSL's own differ from the definition or are left open by it.

fn sign_f32(x: f32) -> f32 {
    return select(select(0.0, 1.0, x > 0.0) - select(0.0, 1.0, x < 0.0), x, is_nan(x));
}

fn sigmoid_f32(x: f32) -> f32 {
    return select(1.0 / (1.0 + exp_f32(clamp(-x, -87.0, 87.0))), x, is_nan(x));
}

fn tanh_f32(x: f32) -> f32 {
    // Some drivers make tanh from a ratio of exponentials: near 0 that loses all digits, far out it overflows.
    let x2 = x * x;
    let small = x * (1.0 + x2 * (-0.33333333 + x2 * (0.13333333 + x2 * (-0.053968254 + x2 * 0.021869488))));
    let e = exp_f32(2.0 * clamp(x, -15.0, 15.0));
    return select(select((e - 1.0) / (e + 1.0), small, abs(x) < 0.3), x, is_nan(x));
}

fn gelu_f32(x: f32) -> f32 {
    return 0.5 * x * (1.0 + tanh_f32(0.7978845608 * (x + 0.044715 * x * x * x)));
}

fn erf_f32(x: f32) -> f32 {
    // Below 1 a polynomial of x² times x, above it 1 - erfc(x) with the logarithm of erfc as a polynomial: Chebyshev fits, within 2e-7 of erf.
    let a = min(abs(x), 4.0);
    let t = a * a;
    let small = a * (1.12837917 + t * (-0.37612638 + t * (0.11283783 + t * (-0.026865438 + t * (0.0052210534
        + t * (-0.00084843966 + t * (0.00011268254 - t * 9.6735908e-6)))))));
    let log_erfc = 0.00030321298 + a * (-1.13016668 + a * (-0.63193709 + a * (-0.10997825 + a * (0.026364717
        + a * (-0.0047402223 + a * (0.00059276954 + a * (-4.5590623e-5 + a * 1.6140616e-6)))))));
    let magnitude = select(1.0 - exp_f32(log_erfc), small, a < 1.0);
    return select(select(magnitude, -magnitude, x < 0.0), x, is_nan(x));
}

fn softplus_f32(x: f32) -> f32 {
    let e = exp_f32(max(-abs(x), -87.0));
    // ln(1 + e) as 2 atanh(e / (2 + e)): no digits are lost where e is small.
    let y = e / (2.0 + e);
    let y2 = y * y;
    let log1p = 2.0 * y * (1.0 + y2 * (0.33333333 + y2 * (0.2 + y2 * (0.14285714 + y2 * (0.11111111 + y2 * (0.090909091 + y2 * 0.076923077))))));
    return select(max(x, 0.0) + log1p, x, is_nan(x));
}

fn pow_f32(a: f32, b: f32) -> f32 {
    if b == 0.0 || a == 1.0 {
        return 1.0;
    }
    if is_nan(a) || is_nan(b) {
        return select(b, a, is_nan(a));
    }
    if a == 0.0 {
        return select(0.0, 1.0 / a, b < 0.0);
    }
    let whole = b == floor(b);
    if whole && abs(b) <= 64.0 {
        var result = 1.0;
        var factor = a;
        for (var n = u32(abs(b)); n > 0u; n >>= 1u) {
            if (n & 1u) == 1u {
                result *= factor;
            }
            factor *= factor;
        }
        return select(result, 1.0 / result, b < 0.0);
    }
    let magnitude = pow(abs(a), b);
    let odd = whole && abs(b) < 16777216.0 && (i32(b) & 1) == 1;
    return select(magnitude, -magnitude, a < 0.0 && odd);
}

fn rem_f32(a: f32, b: f32) -> f32 {
    return a - b * floor(a / b);
}

// Floors, as rem_i32 agrees with.
fn div_i32(a: i32, b: i32) -> i32 {
    let undefined = b == 0 || (b == -1 && a == -2147483647 - 1);
    let divisor = select(b, 1, undefined);
    let cut = a / divisor;
    let above = cut * divisor != a && (a < 0) != (b < 0);
    return select(select(cut, cut - 1, above), 0, undefined);
}

fn rem_i32(a: i32, b: i32) -> i32 {
    let undefined = b == 0 || (b == -1 && a == -2147483647 - 1);
    let r = a % select(b, 1, undefined);
    let shifted = select(r, r + b, r != 0 && (r < 0) != (b < 0));
    return select(shifted, 0, undefined);
}

fn pow_i32(a: i32, b: i32) -> i32 {
    if b < 0 {
        return 0;
    }
    var result = 1;
    var factor = a;
    for (var n = u32(b); n > 0u; n >>= 1u) {
        if (n & 1u) == 1u {
            result *= factor;
        }
        factor *= factor;
    }
    return result;
}

// Towards zero, saturating; NaN is 0.
fn to_i32(x: f32) -> i32 {
    let inside = i32(clamp(select(x, 0.0, is_nan(x)), -2147483648.0, 2147483520.0));
    return select(inside, 2147483647, x >= 2147483648.0);
}

fn to_f16(x: f32) -> f32 {
    let bits = bitcast<u32>(x) & 0x7fffffffu;
    if bits >= 0x7f800000u {
        return x;
    }
    let normal = bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
    let subnormal = round(bitcast<f32>(bits) * 16777216.0) * 5.9604644775390625e-8;
    let overflow = bitcast<f32>(0x7f800000u & select(0u, 0xffffffffu, bits >= 0x477ff000u));
    let magnitude = select(select(normal, subnormal, bits < 0x38800000u), overflow, bits >= 0x477ff000u);
    return select(magnitude, -magnitude, (bitcast<u32>(x) & 0x80000000u) != 0u);
}

fn to_bf16(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if (bits & 0x7fffffffu) >= 0x7f800000u {
        return x;
    }
    return bitcast<f32>((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u);
}

// x less the nearest multiple of π/2, and that multiple. The product is taken off in three parts (Cody and Waite, 1980): drivers may use a
// sine that is good to three digits, and only near 0.
fn reduce_angle(x: f32) -> vec2<f32> {
    let k = round(x * 0.6366197723675814);
    let r = fma(k, -1.5703125, x);
    return vec2(fma(k, -7.549789948768648e-8, fma(k, -4.837512969970703e-4, r)), k);
}

fn sin_near_zero(r: f32) -> f32 {
    let s = r * r;
    return r + r * s * (-0.16666667 + s * (0.0083333333 + s * (-0.00019841270 + s * 2.7557319e-6)));
}

fn cos_near_zero(r: f32) -> f32 {
    let s = r * r;
    return 1.0 - 0.5 * s + s * s * (0.041666667 + s * (-0.0013888889 + s * 2.4801587e-5));
}

fn sin_f32(x: f32) -> f32 {
    let r = reduce_angle(x);
    let quarter = i32(r.y) & 3;
    let value = select(sin_near_zero(r.x), cos_near_zero(r.x), (quarter & 1) == 1);
    return select(value, -value, quarter >= 2);
}

fn cos_f32(x: f32) -> f32 {
    let r = reduce_angle(x);
    let quarter = (i32(r.y) + 1) & 3;
    let value = select(sin_near_zero(r.x), cos_near_zero(r.x), (quarter & 1) == 1);
    return select(value, -value, quarter >= 2);
}

fn tan_f32(x: f32) -> f32 {
    return sin_f32(x) / cos_f32(x);
}

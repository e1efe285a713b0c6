//! Loops over f32 vectors that several ops share. Sums run in sixteen lanes that are added up in a fixed order at the end.

use super::isa::{fma, for_each_isa};

const LANES: usize = 16;

/// The lanes of a sum added up as a tree, always in the same order.
#[inline(always)]
pub(super) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `Σ a[i] · b[i]`, as [`dot`], for use inside of a body that is already compiled for a level.
#[inline(always)]
pub(super) fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut sums = [[0.0f32; LANES]; 4];
    let (quads_a, quads_b) = (a.chunks_exact(4 * LANES), b.chunks_exact(4 * LANES));
    let (rest_a, rest_b) = (quads_a.remainder(), quads_b.remainder());
    for (x, y) in quads_a.zip(quads_b) {
        for j in 0..4 {
            for i in 0..LANES {
                sums[j][i] = fma::<FMA>(x[j * LANES + i], y[j * LANES + i], sums[j][i]);
            }
        }
    }
    for (x, y) in rest_a.chunks(LANES).zip(rest_b.chunks(LANES)) {
        for i in 0..x.len() {
            sums[0][i] = fma::<FMA>(x[i], y[i], sums[0][i]);
        }
    }
    let mut total = [0.0; LANES];
    for i in 0..LANES {
        total[i] = (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
    }
    sum_lanes(total)
}

for_each_isa! {
    /// `Σ a[i] · b[i]` over the shorter of the two.
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        dot_body::<FMA>(a, b)
    }
}

for_each_isa! {
    /// `out[i] = x[i] · factor · weight[i]`, the last step of an RMS norm.
    pub(super) fn scale_by(x: &[f32], factor: f32, weight: &[f32], out: &mut [f32]) {
        for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
            *out = x * factor * w;
        }
    }
}

for_each_isa! {
    /// `values[i] = exp(values[i] - shift)`; returns the sum.
    pub(super) fn exp_shifted(values: &mut [f32], shift: f32) -> f32 {
        let mut lanes = [0.0f32; LANES];
        let mut chunks = values.chunks_exact_mut(LANES);
        for chunk in &mut chunks {
            for i in 0..LANES {
                chunk[i] = exp(chunk[i] - shift);
                lanes[i] += chunk[i];
            }
        }
        for (value, lane) in chunks.into_remainder().iter_mut().zip(&mut lanes) {
            *value = exp(*value - shift);
            *lane += *value;
        }
        sum_lanes(lanes)
    }
}

for_each_isa! {
    /// `values[i] *= factor`.
    pub(super) fn scale(values: &mut [f32], factor: f32) {
        for value in values {
            *value *= factor;
        }
    }
}

for_each_isa! {
    /// `out[i] = silu(gate[i]) · up[i]`.
    pub(super) fn silu_times(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
            *out = g / (1.0 + exp(-g)) * u;
        }
    }
}

/// `e^x` within 2 units in the last place, in arithmetic alone so that a loop over it becomes vector code: x = n ln 2 + r with |r| at most
/// half of ln 2, e^r by its series. Below -87.3 the result is 0 or the least normal number, above 88.7 it is inf.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it leaves the nearest integer in the low bits.
    let clamped = if x < -87.3 { -87.3 } else { x };
    let clamped = if clamped > 88.8 { 88.8 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with few bits so that its product with n is exact.
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let series = 1.0 / 5040.0;
    let series = series * r + 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let series = series * r + 1.0;
    let series = series * r + 1.0;
    // 2^n in two factors, since n may be 128.
    let bits = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = bits >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    let result = series * power(half) * power(bits - half);
    if x < -87.3 { 0.0 } else { result }
}

/// An f16 by its bits, widened exactly, subnormals too, without a table or a branch.
#[inline(always)]
pub(super) fn widen_f16(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7FFF) << 13;
    // Times 2^112 moves the exponent's bias from 15 to 127, and normalizes what is subnormal.
    let value = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let special = if bits & 0x7C00 == 0x7C00 { 0x7F80_0000 } else { 0 };
    f32::from_bits(value | special | (u32::from(bits & 0x8000) << 16))
}

/// The f16 nearest to `x`, half to even, by its bits.
#[inline(always)]
fn narrow_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7FFF_FFFF;
    // Half a unit of the last place that stays, one less where that place is even already; the exponent's bias goes from 127 to 15. What
    // reaches 65520 carries into the exponent of inf.
    let normal = magnitude.wrapping_add(0x0FFF + (magnitude >> 13 & 1)).wrapping_sub(112 << 23) >> 13;
    // One unit in the last place of 0.5 is the least f16.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if magnitude < 113 << 23 { subnormal } else { normal };
    let beyond = if magnitude > 0x7F80_0000 { 0x7E00 } else { 0x7C00 };
    let half = if magnitude >= 143 << 23 { beyond } else { finite };
    (half | bits >> 16 & 0x8000) as u16
}

for_each_isa! {
    /// Rounds to f16, half to even.
    pub(super) fn narrow_to_f16(values: &[f32], out: &mut [u16]) {
        for (out, &value) in out.iter_mut().zip(values) {
            *out = narrow_f16(value);
        }
    }
}

for_each_isa! {
    /// Widens little-endian f16.
    pub(super) fn widen_f16_bytes(bytes: &[u8], out: &mut [f32]) {
        widen_f16_slice::<FMA>(bytes, out);
    }
}

/// As [`widen_f16_bytes`], for use inside of a body that is already compiled for a level; `FMA` is the body's.
#[inline(always)]
pub(super) fn widen_f16_slice<const FMA: bool>(bytes: &[u8], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if FMA {
        // SAFETY: `for_each_isa` gives true only to levels that have F16C.
        unsafe { widen_f16_f16c(bytes, out) };
        return;
    }
    for (out, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *out = widen_f16(u16::from_le_bytes([b[0], b[1]]));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_f16_f16c(bytes: &[u8], out: &mut [f32]) {
    use std::arch::x86_64::*;
    let (eights, rest) = bytes.as_chunks::<16>();
    let done = (eights.len() * 8).min(out.len() / 8 * 8);
    for (out, eight) in out.chunks_exact_mut(8).zip(eights) {
        // SAFETY: 16 bytes are read and eight values written.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(eight.as_ptr().cast()))) };
    }
    let rest = if eights.len() * 8 > done { &bytes[done * 2..] } else { rest };
    for (out, b) in out[done..].iter_mut().zip(rest.chunks_exact(2)) {
        *out = widen_f16(u16::from_le_bytes([b[0], b[1]]));
    }
}

for_each_isa! {
    /// Widens little-endian bf16.
    pub(super) fn widen_bf16_bytes(bytes: &[u8], out: &mut [f32]) {
        for (out, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
            *out = f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::isa::Isa;
    use half::f16;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let mut worst = 0.0f64;
        for i in -870_000..886_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let ulp = f64::from(f32::from_bits((exact as f32).to_bits() + 1)) - f64::from(exact as f32);
            worst = worst.max(((f64::from(exp(x)) - exact) / ulp).abs());
        }
        assert!(worst <= 2.0, "{worst} units");
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(1e30), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn every_f16_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (widen_f16(bits), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{bits:04x}: {ours} and {theirs}");
        }
        for isa in Isa::available() {
            let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let mut out = vec![0.0; 1 << 16];
            widen_f16_bytes(isa, &bytes, &mut out);
            for (bits, value) in out.iter().enumerate() {
                let exact = f16::from_bits(bits as u16).to_f32();
                assert!(value.to_bits() == exact.to_bits() || value.is_nan() && exact.is_nan(), "{bits:04x} on {}", isa.name());
            }
            // Lengths that are no multiple of a vector, on either side.
            for (n_bytes, n_out) in [(0, 4), (6, 3), (16, 5), (34, 17), (40, 17), (34, 40)] {
                let mut short = vec![-1.0; n_out];
                widen_f16_bytes(isa, &bytes[..n_bytes], &mut short);
                let n = n_out.min(n_bytes / 2);
                assert_eq!(short[..n], out[..n], "{n_bytes} bytes to {n_out} on {}", isa.name());
                assert!(short[n..].iter().all(|&v| v == -1.0));
            }
        }
    }

    #[test]
    fn narrowing_rounds_as_f16_does() {
        let near = |bits: u32| [bits.wrapping_sub(1), bits, bits.wrapping_add(1)].map(f32::from_bits);
        // Every f16, every midpoint between two of them, their neighbours in f32, and beyond.
        let mut values: Vec<f32> = (0..=u16::MAX).flat_map(|b| near(f16::from_bits(b).to_f32().to_bits())).collect();
        values.extend((0..0x7C00u16).flat_map(|b| {
            let middle = (f16::from_bits(b).to_f64() + if b == 0x7BFF { 65536.0 } else { f16::from_bits(b + 1).to_f64() }) / 2.0;
            near((middle as f32).to_bits()).into_iter().chain(near((-middle as f32).to_bits())).collect::<Vec<_>>()
        }));
        values.extend([f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, -0.0]);
        for isa in Isa::available() {
            let mut out = vec![0; values.len()];
            narrow_to_f16(isa, &values, &mut out);
            for (value, bits) in values.iter().zip(out) {
                let (ours, theirs) = (f16::from_bits(bits), f16::from_f32(*value));
                assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{value:e}: {ours} and {theirs}");
            }
        }
    }

    #[test]
    fn dot_is_near_the_f64_sum_for_every_length() {
        for isa in Isa::available() {
            for n in [0, 1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 257, 1000] {
                let a: Vec<f32> = (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
                let b: Vec<f32> = (0..n).map(|i| ((i * 53 % 97) as f32 - 48.0) / 48.0).collect();
                let exact: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                assert!((f64::from(dot(isa, &a, &b)) - exact).abs() <= 1e-6 * (n as f64 + 1.0).sqrt(), "{n} on {}", isa.name());
            }
        }
    }
}

//! The integer product row by row: a weight row is unpacked once into bytes and met with each row of activations.
//!
//! `y[t, r] = Σ_s a_s · (scale_s · (q_s · x_s - offset · Σ x_s) - min_s · Σ x_s)` over the sub-blocks s, integers summed exactly, then f32 in
//! eight lanes or more.

use crate::cpu::isa::{Isa, fma, for_each_isa};
use crate::cpu::quant::{ACT_BLOCK, Int8Format};

use super::Tile;
use super::activations::{ActRow, Activations};
use super::rows::WeightRows;
use super::scratch::Scratch;

/// Rows `first .. first + n` against every row of activations.
#[allow(clippy::too_many_arguments, reason = "the operands of a product, and where it goes")]
pub(super) fn multiply(
    isa: Isa,
    format: &Int8Format,
    rows: &WeightRows<'_>,
    acts: &Activations,
    first: usize,
    n: usize,
    scratch: &mut Scratch,
    y: &mut Tile<'_>,
) {
    let (k, subs) = (rows.row_len, rows.row_len / format.sub_len);
    scratch.quants.resize(k / 4, 0);
    scratch.scales.resize(subs, 0.0);
    scratch.mins.resize(subs, 0.0);
    let Scratch { quants, scales, mins, .. } = scratch;
    let quants: &mut [u8] = bytemuck::cast_slice_mut(quants);
    rows.for_each_run(first, n, |offset, bytes, _| {
        for (r, row) in bytes.chunks_exact(rows.row_bytes).enumerate() {
            (format.unpack)(isa, row, quants, scales, mins);
            let row = Unpacked { isa, format, quants, scales, mins };
            let (mut t, n) = (0, acts.n_rows());
            while t < n {
                let taken = match n - t {
                    1 => row.dots::<1>(acts, t, |t, sum| y.set(t, offset + r, sum)),
                    2 | 3 => row.dots::<2>(acts, t, |t, sum| y.set(t, offset + r, sum)),
                    _ => row.dots::<4>(acts, t, |t, sum| y.set(t, offset + r, sum)),
                };
                t += taken;
            }
        }
    });
}

/// A weight row taken apart.
struct Unpacked<'a> {
    isa: Isa,
    format: &'a Int8Format,
    quants: &'a [u8],
    scales: &'a [f32],
    mins: &'a [f32],
}

impl Unpacked<'_> {
    /// The sums with `T` rows of activations from `first` on; returns `T`. Each sum has the order that it has alone.
    fn dots<const T: usize>(&self, acts: &Activations, first: usize, mut store: impl FnMut(usize, f32)) -> usize {
        let Unpacked { isa, format, quants, scales, mins } = *self;
        let rows: [ActRow<'_>; T] = std::array::from_fn(|i| acts.row(first + i));
        let sums: [f32; T] = match (isa, format.sub_len) {
            // SAFETY: the level is the one that the function is for.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, 32) => unsafe { x86::dots_avx512::<32, T>(quants, scales, rows) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, _) => unsafe { x86::dots_avx512::<16, T>(quants, scales, rows) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, 32) => unsafe { x86::dots_avx2::<32, T>(quants, scales, format.offset == 128, rows) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => unsafe { x86::dots_avx2::<16, T>(quants, scales, format.offset == 128, rows) },
            (_, 32) => rows.map(|act| dot_32(isa, quants, scales, act)),
            _ => rows.map(|act| dot_16(isa, quants, scales, act)),
        };
        for (i, (sum, act)) in sums.into_iter().zip(rows).enumerate() {
            store(first + i, if format.has_mins { sum - min_part(isa, mins, act.sums) } else { sum });
        }
        T
    }
}

for_each_isa! {
    fn dot_32(quants: &[u8], scales: &[f32], act: ActRow<'_>) -> f32 {
        dot_subs::<32, FMA>(quants, scales, act)
    }
}

for_each_isa! {
    fn dot_16(quants: &[u8], scales: &[f32], act: ActRow<'_>) -> f32 {
        dot_subs::<16, FMA>(quants, scales, act)
    }
}

#[inline(always)]
fn dot_subs<const SUB: usize, const FMA: bool>(quants: &[u8], scales: &[f32], act: ActRow<'_>) -> f32 {
    let mut lanes = [0.0f32; 8];
    let subs = quants.chunks_exact(SUB).zip(act.quants.chunks_exact(SUB)).zip(scales).zip(act.starts).enumerate();
    for (s, (((quants, x), &scale), &start)) in subs {
        let mut product = start;
        for i in 0..SUB {
            product += i32::from(quants[i]) * i32::from(x[i]);
        }
        let factor = scale * act.scales[s * SUB / ACT_BLOCK];
        lanes[s % 8] = fma::<FMA>(factor, product as f32, lanes[s % 8]);
    }
    sum_eight(lanes)
}

for_each_isa! {
    /// `Σ_s min_s · sum_s`
    fn min_part(mins: &[f32], sums: &[f32]) -> f32 {
        let mut lanes = [0.0f32; 8];
        let (whole_mins, whole_sums) = (mins.chunks_exact(8), sums.chunks_exact(8));
        let rest = whole_mins.remainder().iter().zip(whole_sums.remainder());
        for (min, sum) in whole_mins.zip(whole_sums) {
            for i in 0..8 {
                lanes[i] = fma::<FMA>(min[i], sum[i], lanes[i]);
            }
        }
        for (lane, (&min, &sum)) in lanes.iter_mut().zip(rest) {
            *lane = fma::<FMA>(min, sum, *lane);
        }
        sum_eight(lanes)
    }
}

#[inline(always)]
fn sum_eight(lanes: [f32; 8]) -> f32 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{ACT_BLOCK, ActRow, sum_eight};

    /// The spread of 16 sub-blocks' factors over the lanes of each vector of 64 values.
    const fn spread(sub_len: usize) -> [[u32; 16]; 8] {
        let mut index = [[0; 16]; 8];
        let mut at = 0;
        while at < 128 {
            index[at / 16][at % 16] = ((at / 16 * 64 + at % 16 * 4) / sub_len) as u32;
            at += 1;
        }
        index
    }

    static SPREAD_32: [[u32; 16]; 8] = spread(32);
    static SPREAD_16: [[u32; 16]; 8] = spread(16);

    /// 16 sub-blocks at a time: their factors and starting values are made together and spread over the lanes that hold their products.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
    pub fn dots_avx512<const SUB: usize, const T: usize>(quants: &[u8], scales: &[f32], acts: [ActRow<'_>; T]) -> [f32; T] {
        let k = quants.len();
        assert!(scales.len() >= k / SUB);
        assert!(acts.iter().all(|act| act.quants.len() >= k && act.starts.len() >= k / SUB && act.scales.len() >= k / ACT_BLOCK));
        // The first lane of each sub-block takes its starting value.
        let (spread, starts_at) = if SUB == 32 { (&SPREAD_32, 0x0101) } else { (&SPREAD_16, 0x1111) };
        let mut totals = [_mm512_setzero_ps(); T];
        for first in (0..k / SUB).step_by(16) {
            let n = (k / SUB - first).min(16);
            let mask = (u32::MAX >> (32 - n)) as u16;
            // SAFETY: masked to the sub-blocks and values that there are, asserted above.
            unsafe {
                let block = first * SUB / ACT_BLOCK;
                let scales = _mm512_maskz_loadu_ps(mask, scales.as_ptr().add(first));
                let mut factors = [scales; T];
                let mut starts = [_mm512_setzero_si512(); T];
                for t in 0..T {
                    let act_scales = if SUB == 32 {
                        _mm512_maskz_loadu_ps(mask, acts[t].scales.as_ptr().add(block))
                    } else {
                        let pairs = _mm512_maskz_loadu_ps((u32::MAX >> (32 - n.div_ceil(2))) as u16, acts[t].scales.as_ptr().add(block));
                        _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), pairs)
                    };
                    factors[t] = _mm512_mul_ps(scales, act_scales);
                    starts[t] = _mm512_maskz_loadu_epi32(mask, acts[t].starts.as_ptr().add(first));
                }
                for (j, index) in spread.iter().enumerate().take((n * SUB).div_ceil(64)) {
                    let at = first * SUB + j * 64;
                    let index = _mm512_loadu_si512(index.as_ptr().cast());
                    let values = if k - at >= 64 { u64::MAX } else { u64::MAX >> (64 - (k - at)) };
                    let q = _mm512_maskz_loadu_epi8(values, quants.as_ptr().add(at).cast());
                    for t in 0..T {
                        let x = _mm512_maskz_loadu_epi8(values, acts[t].quants.as_ptr().add(at));
                        let products = _mm512_dpbusd_epi32(_mm512_maskz_permutexvar_epi32(starts_at, index, starts[t]), q, x);
                        totals[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_permutexvar_ps(index, factors[t]), totals[t]);
                    }
                }
            }
        }
        totals.map(|total| _mm512_reduce_add_ps(total))
    }

    /// 32 values at a time. `signed`: the quants are signed bytes with the top bit turned over, whose products AVX2 can only add as signed ones.
    #[target_feature(enable = "avx2,fma")]
    pub fn dots_avx2<const SUB: usize, const T: usize>(quants: &[u8], scales: &[f32], signed: bool, acts: [ActRow<'_>; T]) -> [f32; T] {
        let k = quants.len();
        assert!(scales.len() >= k / SUB);
        assert!(acts.iter().all(|act| act.quants.len() >= k && act.starts.len() >= k / SUB && act.scales.len() >= k / ACT_BLOCK));
        let (ones, top) = (_mm256_set1_epi16(1), _mm256_set1_epi8(i8::MIN));
        let mut totals = [_mm256_setzero_ps(); T];
        for block in 0..k / 32 {
            // SAFETY: 32 values, one or two scales and starting values of block `block`, asserted above.
            unsafe {
                let q = _mm256_loadu_si256(quants.as_ptr().add(block * 32).cast());
                let (q, unsigned) = if signed {
                    let q = _mm256_xor_si256(q, top);
                    (q, _mm256_abs_epi8(q))
                } else {
                    (q, q)
                };
                let at = scales.as_ptr().add(block * 32 / SUB);
                let scale = if SUB == 16 { _mm256_set_m128(_mm_set1_ps(*at.add(1)), _mm_set1_ps(*at)) } else { _mm256_set1_ps(*at) };
                for t in 0..T {
                    let x = _mm256_loadu_si256(acts[t].quants.as_ptr().add(block * 32).cast());
                    let products = if signed {
                        _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned, _mm256_sign_epi8(x, q)), ones)
                    } else {
                        let starts = acts[t].starts.as_ptr().add(block * 32 / SUB);
                        let second = if SUB == 16 { *starts.add(1) } else { 0 };
                        let start = _mm256_setr_epi32(*starts, 0, 0, 0, second, 0, 0, 0);
                        _mm256_add_epi32(_mm256_madd_epi16(_mm256_maddubs_epi16(q, x), ones), start)
                    };
                    let factor = _mm256_mul_ps(scale, _mm256_broadcast_ss(&*acts[t].scales.as_ptr().add(block)));
                    totals[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), factor, totals[t]);
                }
            }
        }
        totals.map(|total| {
            let mut lanes = [0.0f32; 8];
            // SAFETY: eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), total) };
            sum_eight(lanes)
        })
    }
}

//! The product in f32: what plain float weights take, what every weight takes in precise mode, and what a block format without an integer form
//! takes. For one row of activations plain weights are streamed; for up to eight a row is widened once and met with each of them in the same order
//! of sums; for more, four rows at a time are met with several rows of activations.

use crate::cpu::isa::{Isa, fma, for_each_isa};
use crate::cpu::vector::{dot, sum_lanes, widen_f16_slice};
use crate::tensor::DType;

use super::rows::WeightRows;
use super::scratch::Scratch;
use super::{FEW_ROWS, Tile};

/// Rows of weights that are widened at once.
const ROWS: usize = 4;
const LANES: usize = 16;

/// Rows `first .. first + n` against every row of `x [T, k]`. Each sum has eight lanes or more, added in a fixed order.
pub(super) fn multiply(isa: Isa, rows: &WeightRows<'_>, x: &[f32], first: usize, n: usize, scratch: &mut Scratch, y: &mut Tile<'_>) {
    let k = rows.row_len;
    let n_tokens = x.len() / k;
    let stream = match rows.dtype {
        DType::F32 => Some(dot_f32 as fn(Isa, &[u8], &[f32]) -> f32),
        DType::F16 => Some(dot_f16 as _),
        DType::BF16 => Some(dot_bf16 as _),
        _ => None,
    };
    if let (1, Some(stream)) = (n_tokens, stream) {
        rows.for_each_run(first, n, |offset, bytes, _| {
            for (r, row) in bytes.chunks_exact(rows.row_bytes).enumerate() {
                y.set(0, offset + r, stream(isa, row, x));
            }
        });
        return;
    }
    scratch.widened.resize(ROWS * k, 0.0);
    for r in (0..n).step_by(ROWS) {
        let count = ROWS.min(n - r);
        for i in 0..count {
            rows.widen(isa, first + r + i, &mut scratch.widened[i * k..][..k]);
        }
        if n_tokens > FEW_ROWS && count == ROWS && tiles(isa, &scratch.widened, x, k, r, y) {
            continue;
        }
        for t in 0..n_tokens {
            for i in 0..count {
                y.set(t, r + i, dot(isa, &scratch.widened[i * k..][..k], &x[t * k..][..k]));
            }
        }
    }
}

/// Four widened rows against all rows of `x`, where the level has tiles for it.
#[cfg(target_arch = "x86_64")]
fn tiles(isa: Isa, w: &[f32], x: &[f32], k: usize, r: usize, y: &mut Tile<'_>) -> bool {
    let tokens = match isa {
        Isa::Avx512 => 4,
        Isa::Avx2 => 2,
        Isa::Portable => return false,
    };
    let n_tokens = x.len() / k;
    let whole = n_tokens / tokens * tokens;
    // The last tokens come one by one, in the same order of sums.
    for t in (0..whole).step_by(tokens).chain(whole..n_tokens) {
        let x = &x[t * k..];
        let mut store = |i: usize, sums: [f32; ROWS]| y.row(t + i)[r..r + ROWS].copy_from_slice(&sums);
        // SAFETY: the level is the one that the function is for.
        unsafe {
            match (isa, t < whole) {
                (Isa::Avx512, true) => x86::tile_avx512::<4>(w, x, k, &mut store),
                (Isa::Avx512, false) => x86::tile_avx512::<1>(w, x, k, &mut store),
                (_, true) => x86::tile_avx2::<2>(w, x, k, &mut store),
                (_, false) => x86::tile_avx2::<1>(w, x, k, &mut store),
            }
        }
    }
    true
}

/// Other processors take the rows one by one.
#[cfg(not(target_arch = "x86_64"))]
fn tiles(_isa: Isa, _w: &[f32], _x: &[f32], _k: usize, _r: usize, _y: &mut Tile<'_>) -> bool {
    false
}

macro_rules! stream_dot {
    ($name:ident, $bytes:literal, $widen:expr) => {
        for_each_isa! {
            fn $name(row: &[u8], x: &[f32]) -> f32 {
                let mut sums = [[0.0f32; LANES]; 4];
                let (rows, xs) = (row.chunks_exact($bytes * 4 * LANES), x.chunks_exact(4 * LANES));
                let (row_rest, x_rest) = (rows.remainder(), xs.remainder());
                for (row, x) in rows.zip(xs) {
                    let mut w = [0.0f32; 4 * LANES];
                    $widen(row, &mut w);
                    for j in 0..4 {
                        for i in 0..LANES {
                            sums[j][i] = fma::<FMA>(w[j * LANES + i], x[j * LANES + i], sums[j][i]);
                        }
                    }
                }
                let mut w = [0.0f32; 4 * LANES];
                $widen(row_rest, &mut w);
                // In the order of `vector::dot`, which rows of activations take when there are several.
                for (i, (&w, &x)) in w.iter().zip(x_rest).enumerate() {
                    sums[0][i % LANES] = fma::<FMA>(w, x, sums[0][i % LANES]);
                }
                let mut total = [0.0; LANES];
                for i in 0..LANES {
                    total[i] = (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
                }
                sum_lanes(total)
            }
        }
    };
}

stream_dot!(dot_f32, 4, |bytes: &[u8], w: &mut [f32]| {
    for (w, b) in w.iter_mut().zip(bytes.chunks_exact(4)) {
        *w = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    }
});
stream_dot!(dot_f16, 2, |bytes: &[u8], w: &mut [f32]| widen_f16_slice::<FMA>(bytes, w));
stream_dot!(dot_bf16, 2, |bytes: &[u8], w: &mut [f32]| {
    for (w, b) in w.iter_mut().zip(bytes.chunks_exact(2)) {
        *w = f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
    }
});

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::ROWS;

    /// Four rows of weights and up to four of activations: sixteen sums of sixteen lanes fill half of the registers.
    #[target_feature(enable = "avx512f,fma")]
    pub fn tile_avx512<const TOKENS: usize>(w: &[f32], x: &[f32], k: usize, mut store: impl FnMut(usize, [f32; ROWS])) {
        assert!(w.len() >= ROWS * k && x.len() >= TOKENS * k);
        let mut sums = [[_mm512_setzero_ps(); ROWS]; TOKENS];
        for at in (0..k).step_by(16) {
            let mask = if k - at >= 16 { u16::MAX } else { (1 << (k - at)) - 1 };
            // SAFETY: elements `at ..` of each row, as many as the mask lets through; asserted above.
            unsafe {
                let w: [__m512; ROWS] = std::array::from_fn(|r| _mm512_maskz_loadu_ps(mask, w.as_ptr().add(r * k + at)));
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_maskz_loadu_ps(mask, x.as_ptr().add(t * k + at));
                    for r in 0..ROWS {
                        sums[r] = _mm512_fmadd_ps(w[r], x, sums[r]);
                    }
                }
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            store(t, sums.map(|sum| _mm512_reduce_add_ps(sum)));
        }
    }

    /// Four rows of weights and up to two of activations: eight sums of eight lanes.
    #[target_feature(enable = "avx2,fma")]
    pub fn tile_avx2<const TOKENS: usize>(w: &[f32], x: &[f32], k: usize, mut store: impl FnMut(usize, [f32; ROWS])) {
        assert!(w.len() >= ROWS * k && x.len() >= TOKENS * k);
        let mut sums = [[_mm256_setzero_ps(); ROWS]; TOKENS];
        let whole = k / 8 * 8;
        for at in (0..whole).step_by(8) {
            // SAFETY: elements `at .. at + 8` of each row; asserted above.
            unsafe {
                let w: [__m256; ROWS] = std::array::from_fn(|r| _mm256_loadu_ps(w.as_ptr().add(r * k + at)));
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_loadu_ps(x.as_ptr().add(t * k + at));
                    for r in 0..ROWS {
                        sums[r] = _mm256_fmadd_ps(w[r], x, sums[r]);
                    }
                }
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            let mut totals = [0.0; ROWS];
            for (r, total) in totals.iter_mut().enumerate() {
                let mut lanes = [0.0f32; 8];
                // SAFETY: eight values.
                unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sums[r]) };
                *total = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
                for at in whole..k {
                    *total += w[r * k + at] * x[t * k + at];
                }
            }
            store(t, totals);
        }
    }
}

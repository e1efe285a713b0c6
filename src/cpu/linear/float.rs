//! The product in f32: rows of any type are widened, four at a time, and met with each row of activations. What plain float weights take, what
//! every weight takes in precise mode, and what a block format without an integer form takes.

use crate::cpu::isa::{Isa, fma, for_each_isa};
use crate::cpu::vector::{dot_body, sum_lanes};

use super::Tile;
use super::rows::WeightRows;
use super::scratch::Scratch;

/// Rows of weights and of activations that a tile takes at once: 16 sums of 16 lanes fill the registers of AVX-512.
const ROWS: usize = 4;
const TOKENS: usize = 4;
const LANES: usize = 16;

/// Rows `first .. first + n` against every row of `x [T, k]`. Each sum has 16 lanes or more, added in a fixed order.
pub(super) fn multiply(isa: Isa, rows: &WeightRows<'_>, x: &[f32], first: usize, n: usize, scratch: &mut Scratch, y: &mut Tile<'_>) {
    let k = rows.row_len;
    scratch.widened.resize(ROWS * k, 0.0);
    let n_tokens = x.len() / k;
    for r in (0..n).step_by(ROWS) {
        let count = ROWS.min(n - r);
        for i in 0..count {
            rows.widen(isa, first + r + i, &mut scratch.widened[i * k..][..k]);
        }
        let whole = if count == ROWS { n_tokens / TOKENS * TOKENS } else { 0 };
        for t in (0..whole).step_by(TOKENS) {
            let mut sums = [[0.0; ROWS]; TOKENS];
            tile(isa, &scratch.widened, &x[t * k..][..TOKENS * k], k, &mut sums);
            for (i, sums) in sums.iter().enumerate() {
                y.row(t + i)[r..r + ROWS].copy_from_slice(sums);
            }
        }
        for t in whole..n_tokens {
            for i in 0..count {
                y.set(t, r + i, dot(isa, &scratch.widened[i * k..][..k], &x[t * k..][..k]));
            }
        }
    }
}

for_each_isa! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        dot_body::<FMA>(a, b)
    }
}

for_each_isa! {
    fn tile(w: &[f32], x: &[f32], k: usize, out: &mut [[f32; ROWS]; TOKENS]) {
        let mut sums = [[[0.0f32; LANES]; ROWS]; TOKENS];
        let w: [&[f32]; ROWS] = std::array::from_fn(|i| &w[i * k..][..k]);
        let x: [&[f32]; TOKENS] = std::array::from_fn(|i| &x[i * k..][..k]);
        let whole = k / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            let w: [&[f32]; ROWS] = std::array::from_fn(|i| &w[i][at..at + LANES]);
            let x: [&[f32]; TOKENS] = std::array::from_fn(|i| &x[i][at..at + LANES]);
            for t in 0..TOKENS {
                for r in 0..ROWS {
                    for l in 0..LANES {
                        sums[t][r][l] = fma::<FMA>(w[r][l], x[t][l], sums[t][r][l]);
                    }
                }
            }
        }
        for t in 0..TOKENS {
            for r in 0..ROWS {
                for l in 0..k - whole {
                    sums[t][r][l] = fma::<FMA>(w[r][whole + l], x[t][whole + l], sums[t][r][l]);
                }
                out[t][r] = sum_lanes(sums[t][r]);
            }
        }
    }
}

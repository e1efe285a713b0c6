//! The integer product row by row: a weight row is unpacked once into bytes and met with each row of activations.
//!
//! `y[t, r] = Σ_s a_s · (scale_s · (q_s · x_s - offset · Σ x_s) - min_s · Σ x_s)` over the sub-blocks s, integers summed exactly, then f32 in
//! eight lanes.

use crate::cpu::isa::{Isa, fma, for_each_isa};
use crate::cpu::quant::{ACT_BLOCK, Int8Format};

use super::Tile;
use super::activations::{ActRow, Activations};
use super::rows::WeightRows;
use super::scratch::Scratch;

/// Rows `first .. first + n` against every row of activations.
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
            for t in 0..acts.n_rows() {
                let act = acts.row(t);
                let dot = if format.sub_len == 16 { dot_16 } else { dot_32 };
                let mut sum = dot(isa, quants, scales, act);
                if format.has_mins {
                    sum -= min_part(isa, mins, act.sums);
                }
                y.set(t, offset + r, sum);
            }
        }
    });
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
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

for_each_isa! {
    /// `Σ_s min_s · sum_s`
    fn min_part(mins: &[f32], sums: &[f32]) -> f32 {
        let mut lanes = [0.0f32; 8];
        for (s, (&min, &sum)) in mins.iter().zip(sums).enumerate() {
            lanes[s % 8] = fma::<FMA>(min, sum, lanes[s % 8]);
        }
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
    }
}

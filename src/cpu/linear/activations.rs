//! Activations as signed bytes: one f32 scale for each 32 values.

use crate::cpu::isa::{Isa, for_each_isa};
use crate::cpu::quant::{ACT_BLOCK, Int8Format, LaneOrder, LanesRow};
use crate::cpu::threads::Threads;

use super::FEW_ROWS;

/// Rows of activations as integers. `x[k] ≈ scale · q` with q in -127..=127, off by at most half a scale, which is 1/254 of the largest of
/// its 32 values. The memory is kept from step to step.
#[derive(Default)]
pub(in crate::cpu) struct Activations {
    rows: usize,
    k: usize,
    sub_len: usize,
    quants: Vec<i8>,
    scales: Vec<f32>,
    /// For each `sub_len` quants, `-offset` of the format times their sum: where an integer product with unsigned weights starts.
    starts: Vec<i32>,
    /// Their sum times their scale, which the format's minima are multiplied by.
    sums: Vec<f32>,
    lanes: Lanes,
}

#[derive(Default)]
struct Lanes {
    order: Option<LaneOrder>,
    quants: Vec<i8>,
    start: Vec<i32>,
    scales: Vec<f32>,
}

/// One row of activations for the kernels that take unpacked weights.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct ActRow<'a> {
    pub quants: &'a [i8],
    pub scales: &'a [f32],
    pub starts: &'a [i32],
    pub sums: &'a [f32],
}

impl Activations {
    /// Quantizes `rows` rows of `k` values (a multiple of 32) for a format; `lanes` also prepares them for a `Matvec` of that order.
    pub fn quantize(&mut self, isa: Isa, threads: &Threads, x: &[f32], k: usize, format: &Int8Format, lanes: Option<LaneOrder>) {
        let rows = x.len() / k;
        (self.rows, self.k, self.sub_len) = (rows, k, format.sub_len);
        self.quants.resize(rows * k, 0);
        self.scales.resize(rows * (k / ACT_BLOCK), 0.0);
        self.starts.resize(rows * (k / format.sub_len), 0);
        self.sums.resize(rows * (k / format.sub_len), 0.0);
        let (sub_len, offset) = (format.sub_len, format.offset);
        if rows < 8 {
            quantize_rows(isa, x, sub_len, offset, &mut self.quants, &mut self.scales, &mut self.starts, &mut self.sums);
        } else {
            let per_task = rows.div_ceil(4 * threads.count());
            let parts: Vec<_> = x
                .chunks(per_task * k)
                .zip(self.quants.chunks_mut(per_task * k))
                .zip(self.scales.chunks_mut(per_task * (k / ACT_BLOCK)))
                .zip(self.starts.chunks_mut(per_task * (k / sub_len)))
                .zip(self.sums.chunks_mut(per_task * (k / sub_len)))
                .map(std::sync::Mutex::new)
                .collect();
            threads.run(parts.len(), |i| {
                let mut part = parts[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let ((((x, quants), scales), starts), sums) = &mut *part;
                quantize_rows(isa, x, sub_len, offset, quants, scales, starts, sums);
            });
        }
        self.lanes.order = lanes;
        match self.lanes.order {
            Some(LaneOrder::Linear) => self.make_linear_lanes(format.offset),
            Some(LaneOrder::Halves) => self.make_halves_lanes(format.offset),
            None => {}
        }
    }

    pub fn n_rows(&self) -> usize {
        self.rows
    }

    pub fn row(&self, t: usize) -> ActRow<'_> {
        let (blocks, subs) = (self.k / ACT_BLOCK, self.k / self.sub_len);
        ActRow {
            quants: &self.quants[t * self.k..][..self.k],
            scales: &self.scales[t * blocks..][..blocks],
            starts: &self.starts[t * subs..][..subs],
            sums: &self.sums[t * subs..][..subs],
        }
    }

    /// The rows, at most [`FEW_ROWS`], in the order of the format's `Matvec`, where they were prepared; the last one fills the places of absent ones.
    pub fn lanes(&self) -> Option<[LanesRow<'_>; FEW_ROWS]> {
        self.lanes.order?;
        let per_row = |len: usize| len / self.rows.max(1);
        let (quants, start, scales) = (per_row(self.lanes.quants.len()), per_row(self.lanes.start.len()), per_row(self.lanes.scales.len()));
        Some(std::array::from_fn(|t| {
            let t = t.min(self.rows.saturating_sub(1));
            LanesRow {
                quants: &self.lanes.quants[t * quants..][..quants],
                start: &self.lanes.start[t * start..][..start],
                scales: &self.lanes.scales[t * scales..][..scales],
                sums: self.row(t).sums,
            }
        }))
    }

    fn make_linear_lanes(&mut self, offset: i32) {
        let padded = self.k.next_multiple_of(64);
        let lanes = &mut self.lanes;
        reset(&mut lanes.quants, self.rows * padded);
        reset(&mut lanes.start, self.rows * padded / 4);
        reset(&mut lanes.scales, self.rows * padded / ACT_BLOCK);
        for t in 0..self.rows {
            lanes.quants[t * padded..][..self.k].copy_from_slice(&self.quants[t * self.k..][..self.k]);
            let blocks = self.k / ACT_BLOCK;
            lanes.scales[t * padded / ACT_BLOCK..][..blocks].copy_from_slice(&self.scales[t * blocks..][..blocks]);
        }
        for (start, four) in lanes.start.iter_mut().zip(lanes.quants.chunks_exact(4)) {
            *start = -offset * four.iter().map(|&q| i32::from(q)).sum::<i32>();
        }
    }

    fn make_halves_lanes(&mut self, offset: i32) {
        let padded = self.k.next_multiple_of(128);
        let lanes = &mut self.lanes;
        reset(&mut lanes.quants, self.rows * padded);
        reset(&mut lanes.start, self.rows * padded / 8);
        reset(&mut lanes.scales, self.rows * padded / ACT_BLOCK);
        for t in 0..self.rows {
            let blocks = self.k / ACT_BLOCK;
            lanes.scales[t * padded / ACT_BLOCK..][..blocks].copy_from_slice(&self.scales[t * blocks..][..blocks]);
            for (b, block) in self.quants[t * self.k..][..self.k].chunks_exact(32).enumerate() {
                let group = &mut lanes.quants[t * padded + b / 4 * 128..][..128];
                group[b % 4 * 16..][..16].copy_from_slice(&block[..16]);
                group[64 + b % 4 * 16..][..16].copy_from_slice(&block[16..]);
            }
        }
        for (start, group) in lanes.start.chunks_exact_mut(16).zip(lanes.quants.chunks_exact(128)) {
            let (low, high) = group.split_at(64);
            for (start, (low, high)) in start.iter_mut().zip(low.chunks_exact(4).zip(high.chunks_exact(4))) {
                *start = -offset * low.iter().chain(high).map(|&q| i32::from(q)).sum::<i32>();
            }
        }
    }
}

/// Zeros, in memory that is kept.
fn reset<T: Copy + Default>(values: &mut Vec<T>, len: usize) {
    values.clear();
    values.resize(len, T::default());
}

for_each_isa! {
    /// Whole blocks of 32, in a row or in many. A block with an inf or a NaN gets a scale of NaN, so that it shows in the result.
    fn quantize_rows(
        x: &[f32],
        sub_len: usize,
        offset: i32,
        quants: &mut [i8],
        scales: &mut [f32],
        starts: &mut [i32],
        sums: &mut [f32],
    ) {
        let blocks = x.chunks_exact(ACT_BLOCK).zip(quants.chunks_exact_mut(ACT_BLOCK)).zip(scales.iter_mut());
        for ((x, quants), scale) in blocks {
            // Bits of magnitudes order like the magnitudes, with inf and NaN above all numbers.
            let mut largest = 0u32;
            for value in x {
                largest = largest.max(value.to_bits() & 0x7FFF_FFFF);
            }
            let largest = f32::from_bits(largest);
            *scale = if largest.is_finite() { largest / 127.0 } else { f32::NAN };
            let inverse = if largest > 0.0 && largest.is_finite() { 127.0 / largest } else { 0.0 };
            // For the smallest subnormals the inverse overflows; such a block is zero.
            let inverse = if inverse.is_finite() { inverse } else { 0.0 };
            for (quant, value) in quants.iter_mut().zip(x) {
                // Adding 1.5 · 2^23 rounds to the nearest integer, half to even, and leaves it in the low bits.
                *quant = (value * inverse + 12_582_912.0).to_bits() as i8;
            }
        }
        for (i, quants) in quants.chunks_exact(sub_len).enumerate() {
            let mut sum = 0i32;
            for &q in quants {
                sum += i32::from(q);
            }
            starts[i] = -offset * sum;
            sums[i] = scales[i * sub_len / ACT_BLOCK] * sum as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::quant::int8_format;
    use crate::cpu::testing::Lcg;
    use crate::tensor::quant::{Q4_0, Q6_K};

    #[test]
    fn quantizing_is_within_half_a_scale_and_equal_on_every_level() {
        let mut random = Lcg(3);
        let x: Vec<f32> = (0..11 * 256).map(|i| random.signed() * 10f32.powi(i / 64 % 7 - 3)).collect();
        let threads = Threads::new(2);
        let mut first: Option<Vec<i8>> = None;
        for isa in Isa::available() {
            let mut acts = Activations::default();
            acts.quantize(isa, &threads, &x, 256, int8_format(&Q6_K).unwrap(), Some(LaneOrder::Linear));
            for t in 0..11 {
                let row = acts.row(t);
                for k in 0..256 {
                    let scale = row.scales[k / 32];
                    let error = (f32::from(row.quants[k]) * scale - x[t * 256 + k]).abs();
                    assert!(error <= scale * 0.5001, "row {t}, {k}: {error} of {scale}");
                }
                for sub in 0..16 {
                    let sum = row.quants[sub * 16..][..16].iter().map(|&q| i32::from(q)).sum::<i32>();
                    assert_eq!((row.starts[sub], row.sums[sub]), (-32 * sum, row.scales[sub / 2] * sum as f32));
                }
            }
            assert_eq!(*first.get_or_insert_with(|| acts.quants.clone()), acts.quants, "{}", isa.name());
        }
    }

    #[test]
    fn zero_subnormal_and_nonfinite_blocks() {
        let mut x = vec![0.0f32; 128];
        x[32] = f32::from_bits(1);
        x[64] = f32::INFINITY;
        x[96] = f32::NAN;
        let mut acts = Activations::default();
        acts.quantize(Isa::Portable, &Threads::new(1), &x, 128, int8_format(&Q4_0).unwrap(), None);
        let row = acts.row(0);
        assert!(row.quants.iter().all(|&q| q == 0));
        assert_eq!((row.scales[0], row.starts[1]), (0.0, 0));
        assert!(row.scales[2].is_nan() && row.scales[3].is_nan());
    }
}

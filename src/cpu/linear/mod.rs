//! `y = x · wᵀ` for weights of any type, with the epilogues of a plan.
//!
//! A step is cut into units of whole output rows, whose size depends on the step alone; a unit's sums come from one thread in one order, so the
//! result has the same bits for any number of threads. Quantized weights meet activations in eight bits (`activations`): for one to eight rows of
//! activations straight from the file's layout (`quant::Matvec`) or unpacked row by row (`unpacked`), for more through panels (`panel`). What a row
//! of activations gives depends on that row and on whether there are more than eight, never on the other rows.
//! Error: against exact sums of the widened weights, that of the activations alone, at most `Σ_k |w_k| · s_k / 2` with s the scales of
//! `activations`, besides f32 rounding. In precise mode and for float weights all is f32 (`float`).

mod activations;
mod epilogue;
pub(in crate::cpu) mod experts;
mod float;
#[cfg(target_arch = "x86_64")]
mod panel;
mod rows;
mod scratch;
#[cfg(test)]
mod tests;
mod unpacked;

pub(super) use activations::Activations;
pub(super) use rows::{WeightRows, widen};

use crate::plan::Linear;
use crate::tensor::DType;

use super::isa::Isa;
use super::quant::{Int8Format, int8_format};
use super::rms_norm::rms_norm_rows;
use super::step::StepContext;
use epilogue::Finish;
use scratch::{Scratch, with_scratch};

/// Up to so many rows of activations give each row the bits that it has alone; from one more on a panel is worth its packing.
const FEW_ROWS: usize = 8;

/// Shorter rows meet f32 activations: their rounding averages out over too few terms, and there is little time to win.
const INT8_ROW_LEN: usize = 128;

/// What a linear keeps from step to step.
#[derive(Default)]
pub(super) struct LinearMemory {
    acts: Activations,
    normed: Vec<f32>,
    experts: experts::ExpertMemory,
}

/// Runs one linear step.
pub(super) fn run(ctx: &StepContext<'_>, memory: &mut LinearMemory, step: &Linear) {
    let n_tokens = step.rows.of_run(ctx.n_tokens);
    if n_tokens == 0 || step.k == 0 {
        return;
    }
    let x = &ctx.f32(step.x)[..n_tokens * step.k];
    let LinearMemory { acts, normed, .. } = memory;
    let x = match &step.norm {
        Some((weight, eps)) => {
            normed.resize(x.len(), 0.0);
            rms_norm_rows(ctx.isa, ctx.threads, x, ctx.f32(*weight), ctx.scalar_f32(*eps), normed);
            &normed[..]
        }
        None => x,
    };
    let rows = ctx.weight_rows(step.weight);
    let finish = Finish::new(ctx, step, n_tokens);
    let product = Product::new(ctx.isa, ctx.threads, ctx.precise, &rows, x, acts);
    ctx.threads.run(finish.n_units(), |unit| {
        with_scratch(|scratch| {
            let ranges = finish.unit_ranges(unit);
            let width = ranges.iter().map(|r| r.1).sum();
            let mut y = std::mem::take(&mut scratch.y);
            y.resize(n_tokens * width, 0.0);
            let mut column = 0;
            for &(first, n) in ranges.iter().filter(|r| r.1 > 0) {
                product.multiply(step.first_row + first, n, scratch, &mut Tile { values: &mut y, width, column });
                column += n;
            }
            finish.unit(unit, &mut y, width);
            scratch.y = y;
        });
    });
}

/// Columns from `column` on of a row-major `[T, width]` of sums.
pub(super) struct Tile<'a> {
    values: &'a mut [f32],
    width: usize,
    column: usize,
}

impl Tile<'_> {
    fn row(&mut self, t: usize) -> &mut [f32] {
        &mut self.values[t * self.width + self.column..(t + 1) * self.width]
    }

    /// The sums from a column on, and how far apart those of two rows lie.
    fn columns_from(&mut self, column: usize) -> (&mut [f32], usize) {
        (&mut self.values[self.column + column..], self.width)
    }

    fn set(&mut self, t: usize, column: usize, value: f32) {
        self.row(t)[column] = value;
    }

    /// Adds to the sums, or starts them.
    #[cfg(target_arch = "x86_64")]
    fn add(&mut self, t: usize, column: usize, values: &[f32], start: bool) {
        let sums = &mut self.row(t)[column..column + values.len()];
        if start {
            sums.copy_from_slice(values);
        } else {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        }
    }
}

/// A product of weight rows with prepared activations.
pub(super) enum Product<'a> {
    Int8 { isa: Isa, format: &'static Int8Format, rows: &'a WeightRows<'a>, acts: &'a Activations },
    Float { isa: Isa, rows: &'a WeightRows<'a>, x: &'a [f32] },
}

impl<'a> Product<'a> {
    /// Prepares `x [T, k]` for the weight.
    pub fn new(
        isa: Isa,
        threads: &super::threads::Threads,
        precise: bool,
        rows: &'a WeightRows<'a>,
        x: &'a [f32],
        acts: &'a mut Activations,
    ) -> Self {
        let format = match rows.dtype {
            DType::Quant(quant) if !precise && rows.row_len >= INT8_ROW_LEN => int8_format(&quant),
            _ => None,
        };
        let Some(format) = format else {
            return Product::Float { isa, rows, x };
        };
        let few = x.len() / rows.row_len <= FEW_ROWS;
        let lanes = format.matvec(isa).filter(|_| few).map(|m| m.order);
        acts.quantize(isa, threads, x, rows.row_len, format, lanes);
        Product::Int8 { isa, format, rows, acts }
    }

    /// The sums of rows `first .. first + n` with every row of activations.
    fn multiply(&self, first: usize, n: usize, scratch: &mut Scratch, y: &mut Tile<'_>) {
        match *self {
            Product::Float { isa, rows, x } => float::multiply(isa, rows, x, first, n, scratch, y),
            Product::Int8 { isa, format, rows, acts } => {
                let few = acts.n_rows() <= FEW_ROWS;
                if let Some((matvec, lanes)) = format.matvec(isa).filter(|_| few).zip(acts.lanes()) {
                    rows.for_each_run(first, n, |offset, bytes, _| {
                        let (sums, stride) = y.columns_from(offset);
                        // SAFETY: lanes are prepared only when `isa` is the matvec's, for rows of this length.
                        unsafe { matvec.multiply(bytes, rows.row_bytes, &lanes[..acts.n_rows()], sums, stride) };
                    });
                    return;
                }
                #[cfg(target_arch = "x86_64")]
                if !few && isa != Isa::Portable {
                    panel::multiply(isa, format, rows, acts, first, n, scratch, y);
                    return;
                }
                unpacked::multiply(isa, format, rows, acts, first, n, scratch, y);
            }
        }
    }
}

//! Softmax along the middle of `[outer, len, inner]`: `exp(x - max) / Σ exp(x - max)`, sums in a fixed order.

use crate::plan::Softmax;

use super::step::StepContext;
use super::vector::{exp, exp_shifted, scale};

/// Elements of a line that are summed in f32.
const RUN: usize = 4096;

pub(super) fn run(ctx: &StepContext<'_>, step: &Softmax) {
    let (len, inner) = (step.len, step.inner);
    if len == 0 || inner == 0 {
        return;
    }
    let (isa, x, out) = (ctx.isa, ctx.f32(step.x), ctx.out(step.out));
    ctx.threads.run(step.outer, |o| {
        let x = &x[o * len * inner..][..len * inner];
        // SAFETY: this part of the output is this task's alone.
        let out: &mut [f32] = unsafe { out.range_mut(o * len * inner, len * inner) };
        if inner == 1 {
            out.copy_from_slice(x);
            let largest = largest(x.iter());
            // Sums of runs, so that those of long lines do not drift.
            let sum: f64 = out.chunks_mut(RUN).map(|run| f64::from(exp_shifted(isa, run, largest))).sum();
            scale(isa, out, (1.0 / sum) as f32);
            return;
        }
        for i in 0..inner {
            let largest = largest(x[i..].iter().step_by(inner));
            let mut sum = 0.0f64;
            for j in 0..len {
                out[j * inner + i] = exp(x[j * inner + i] - largest);
                sum += f64::from(out[j * inner + i]);
            }
            for j in 0..len {
                out[j * inner + i] /= sum as f32;
            }
        }
    });
}

/// The largest value. Where it is inf, or all are -inf, the differences from it are NaN, as those of a NaN are, and so is the sum of all.
fn largest<'a>(values: impl Iterator<Item = &'a f32>) -> f32 {
    values.fold(f32::NEG_INFINITY, |m, &x| m.max(x))
}

//! Softmax along the middle of `[outer, len, inner]`: `exp(x - max) / Σ exp(x - max)`, sums in a fixed order.

use crate::plan::Softmax;

use super::step::StepContext;
use super::vector::{exp, exp_shifted, scale};

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
            let sum = exp_shifted(isa, out, largest(x.iter()));
            scale(isa, out, 1.0 / sum);
            return;
        }
        for i in 0..inner {
            let largest = largest(x[i..].iter().step_by(inner));
            let mut sum = 0.0;
            for j in 0..len {
                out[j * inner + i] = exp(x[j * inner + i] - largest);
                sum += out[j * inner + i];
            }
            for j in 0..len {
                out[j * inner + i] /= sum;
            }
        }
    });
}

/// The largest value, at least -3e38, so that a row of -inf gives NaN only where it must.
fn largest<'a>(values: impl Iterator<Item = &'a f32>) -> f32 {
    values.fold(-3.0e38, |m, &x| m.max(x))
}

//! `x / sqrt(mean(x²) + eps) · weight`, a row at a time. The mean's sum has 64 f32 lanes, added in a fixed order.

use crate::plan::Norm;

use super::buffer::Mem;
use super::isa::Isa;
use super::step::StepContext;
use super::threads::Threads;
use super::vector::{dot, scale_by};

pub(super) fn run(ctx: &StepContext<'_>, step: &Norm) {
    let len = step.rows.of_run(ctx.n_tokens) * step.width;
    let (x, weight, eps) = (&ctx.f32(step.x)[..len], ctx.f32(step.weight), ctx.scalar_f32(step.eps));
    norm_into(ctx.isa, ctx.threads, x, &weight[..step.width], eps, ctx.out(step.out));
}

/// Norms rows of `weight.len()` values.
pub(super) fn rms_norm_rows(isa: Isa, threads: &Threads, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    norm_into(isa, threads, x, weight, eps, Mem::of_slice_mut(out));
}

fn norm_into(isa: Isa, threads: &Threads, x: &[f32], weight: &[f32], eps: f32, out: Mem<'_>) {
    let width = weight.len();
    if width == 0 {
        return;
    }
    let rows = x.len() / width;
    // A single row, and a few, cost less than waking a thread.
    let per_task = if rows < 8 { rows.max(1) } else { 8 };
    threads.run(rows.div_ceil(per_task), |task| {
        for row in task * per_task..((task + 1) * per_task).min(rows) {
            let x = &x[row * width..][..width];
            let factor = 1.0 / (dot(isa, x, x) / width as f32 + eps).sqrt();
            // SAFETY: the row is this task's alone.
            scale_by(isa, x, factor, weight, unsafe { out.range_mut(row * width, width) });
        }
    });
}

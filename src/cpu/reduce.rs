//! Reductions over the middle of `[outer, len, inner]`. Sums, means and products are carried in f64, in index order.

use crate::graph::ReduceOp;
use crate::graph::math::{max_f32, min_f32};
use crate::plan::Reduce;

use super::step::StepContext;

/// Elements below which a reduction is not worth another thread.
const SMALL: usize = 1 << 15;

pub(super) fn run(ctx: &StepContext<'_>, step: &Reduce) {
    let (x, out) = (ctx.read::<u32>(step.x), ctx.out(step.out));
    let tasks = if step.outer * step.len * step.inner < SMALL { 1 } else { step.outer };
    ctx.threads.run(tasks, |task| {
        let outers = if tasks == 1 { 0..step.outer } else { task..task + 1 };
        for o in outers {
            let x = &x[o * step.len * step.inner..][..step.len * step.inner];
            // SAFETY: this part of the output is this task's alone.
            let out: &mut [u32] = unsafe { out.range_mut(o * step.inner, step.inner) };
            for (i, out) in out.iter_mut().enumerate() {
                let column = x.get(i..).unwrap_or_default().iter().step_by(step.inner.max(1)).copied();
                *out = match (step.index, step.dtype.is_float()) {
                    (true, true) => extremum(step.op, column.map(f32::from_bits)) as u32,
                    (true, false) => extremum(step.op, column.map(|x| x as i32)) as u32,
                    (false, true) => float(step.op, column.map(f32::from_bits), step.len).to_bits(),
                    (false, false) => int(step.op, column.map(|x| x as i32)) as u32,
                };
            }
        }
    });
}

/// The lowest index of the largest value, of the smallest for `Min`, of the first NaN where there is one.
fn extremum<T: PartialOrd>(op: ReduceOp, values: impl Iterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (i, value) in values.enumerate() {
        let is_nan = |v: &T| v.partial_cmp(v).is_none();
        let beats = |b: &T| if op == ReduceOp::Min { value < *b } else { value > *b };
        let better = best.as_ref().is_none_or(|(_, b)| beats(b) || is_nan(&value) && !is_nan(b));
        if better {
            best = Some((i, value));
        }
    }
    best.map_or(0, |b| b.0)
}

fn float(op: ReduceOp, values: impl Iterator<Item = f32>, len: usize) -> f32 {
    match op {
        ReduceOp::Sum => values.map(f64::from).sum::<f64>() as f32,
        ReduceOp::Mean => (values.map(f64::from).sum::<f64>() / len as f64) as f32,
        ReduceOp::Prod => values.map(f64::from).product::<f64>() as f32,
        ReduceOp::Max => values.fold(f32::NEG_INFINITY, max_f32),
        ReduceOp::Min => values.fold(f32::INFINITY, min_f32),
    }
}

fn int(op: ReduceOp, values: impl Iterator<Item = i32>) -> i32 {
    match op {
        ReduceOp::Sum | ReduceOp::Mean => values.fold(0, i32::wrapping_add),
        ReduceOp::Prod => values.fold(1, i32::wrapping_mul),
        ReduceOp::Max => values.max().unwrap_or(i32::MIN),
        ReduceOp::Min => values.min().unwrap_or(i32::MAX),
    }
}

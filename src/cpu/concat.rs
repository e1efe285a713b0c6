//! One part of a concatenation: a strided copy into a window of the output.

use crate::plan::Copy;

use super::step::StepContext;

/// Elements of a task.
const TASK: usize = 1 << 15;

pub(super) fn run(ctx: &StepContext<'_>, step: &Copy) {
    let mut dims = step.dims.clone();
    if let (true, Some(first)) = (step.dynamic, dims.first_mut()) {
        *first = (*first).min(ctx.n_tokens);
    }
    let total: usize = dims.iter().product();
    if total == 0 {
        return;
    }
    let row = dims.last().copied().unwrap_or(1);
    let outer = &dims[..dims.len().saturating_sub(1)];
    let (x, out) = (ctx.strided(&step.x), ctx.out(step.out.buf));
    let inner = |strides: &[isize]| strides.last().copied().unwrap_or(0);
    let (step_x, step_out) = (inner(x.strides), inner(&step.out.strides));
    let rows = total / row;
    let per_task = (TASK / row).max(1);
    ctx.threads.run(rows.div_ceil(per_task), |task| {
        let mut index = vec![0; outer.len()];
        for r in task * per_task..((task + 1) * per_task).min(rows) {
            let mut rest = r;
            for (index, &dim) in index.iter_mut().zip(outer).rev() {
                *index = rest % dim;
                rest /= dim;
            }
            let from = x.at(&index);
            let offset: isize = index.iter().zip(&step.out.strides).map(|(&i, &s)| i as isize * s).sum();
            let to = step.out.offset.wrapping_add_signed(offset);
            if step_x == 1 && step_out == 1 {
                // SAFETY: the elements of row `r` of the window are this task's alone.
                unsafe { out.range_mut::<u32>(to, row) }.copy_from_slice(&x.words[from..from + row]);
                continue;
            }
            for i in 0..row as isize {
                let value = x.words[from.wrapping_add_signed(i * step_x)];
                // SAFETY: as above.
                unsafe { out.range_mut::<u32>(to.wrapping_add_signed(i * step_out), 1) }.fill(value);
            }
        }
    });
}

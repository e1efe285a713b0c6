//! `out[o] = Σ_s a[o, s] · b[o, s]` over strided views. Each output has sixteen f32 lanes along the innermost summed dimension, or one where
//! the loop runs along the outputs; sums over the outer summed dimensions are added in index order.

use crate::plan::EinsumKernel;

use super::isa::{fma, for_each_isa};
use super::step::{StepContext, Strided};
use super::vector::{dot_body, sum_lanes};

/// Products of a task, about.
const TASK: usize = 1 << 16;

pub(super) fn run(ctx: &StepContext<'_>, step: &EinsumKernel) {
    let total: usize = step.out_dims.iter().product();
    let sums: usize = step.sum_dims.iter().product();
    if total == 0 {
        return;
    }
    let width = step.out_dims.last().copied().unwrap_or(1);
    let rows = total / width;
    let (a, b, out) = (ctx.strided(&step.a), step.b.as_ref().map(|b| ctx.strided(b)), ctx.out(step.out));
    let per_task = (TASK / (width * sums.max(1))).max(1);
    let isa = ctx.isa;
    ctx.threads.run(rows.div_ceil(per_task), |task| {
        for row in task * per_task..((task + 1) * per_task).min(rows) {
            // SAFETY: the row is this task's alone.
            let out: &mut [f32] = unsafe { out.range_mut(row * width, width) };
            let outer = &step.out_dims[..step.out_dims.len().saturating_sub(1)];
            let a = Walk::new(a, outer, row, step);
            let b = b.map(|b| Walk::new(b, outer, row, step));
            multiply_row(isa, a, b, &step.sum_dims, sums, out);
        }
    });
}

/// A view at one row of the output.
#[derive(Clone, Copy)]
struct Walk<'a> {
    words: &'a [f32],
    start: usize,
    /// Along the row of outputs.
    out_stride: isize,
    sum_strides: &'a [isize],
}

impl<'a> Walk<'a> {
    fn new(view: Strided<'a>, outer: &[usize], row: usize, step: &EinsumKernel) -> Self {
        let rank = step.out_dims.len();
        let (mut rest, mut start) = (row, view.offset);
        for (&dim, &stride) in outer.iter().zip(view.strides).rev() {
            start = start.wrapping_add_signed((rest % dim) as isize * stride);
            rest /= dim;
        }
        Walk {
            words: bytemuck::cast_slice(view.words),
            start,
            out_stride: if rank == 0 { 0 } else { view.strides[rank - 1] },
            sum_strides: &view.strides[rank..],
        }
    }

    /// The offset of combination `s` of the summed dimensions but the innermost.
    #[inline(always)]
    fn at(&self, sum_dims: &[usize], s: usize) -> usize {
        let (mut rest, mut at) = (s, self.start);
        let outer = sum_dims.len().saturating_sub(1);
        for (&dim, &stride) in sum_dims[..outer].iter().zip(self.sum_strides).rev() {
            at = at.wrapping_add_signed((rest % dim) as isize * stride);
            rest /= dim;
        }
        at
    }

    fn inner_stride(&self) -> isize {
        self.sum_strides.last().copied().unwrap_or(0)
    }
}

for_each_isa! {
    fn multiply_row(a: Walk<'_>, b: Option<Walk<'_>>, sum_dims: &[usize], sums: usize, out: &mut [f32]) {
        out.fill(0.0);
        let inner = sum_dims.last().copied().unwrap_or(1);
        if sums == 0 {
            return;
        }
        let n = out.len();
        for s in 0..sums / inner {
            let at_a = a.at(sum_dims, s);
            let Some(b) = b else {
                for (j, out) in out.iter_mut().enumerate() {
                    let start = at_a.wrapping_add_signed(j as isize * a.out_stride);
                    let mut lanes = [0.0f32; 16];
                    for i in 0..inner {
                        lanes[i % 16] += a.words[start.wrapping_add_signed(i as isize * a.inner_stride())];
                    }
                    *out += sum_lanes(lanes);
                }
                continue;
            };
            let at_b = b.at(sum_dims, s);
            // Rows of `b` side by side under one value of `a`: the loop runs along the outputs.
            if a.out_stride == 0 && b.out_stride == 1 {
                for i in 0..inner {
                    let x = a.words[at_a.wrapping_add_signed(i as isize * a.inner_stride())];
                    let row = &b.words[at_b.wrapping_add_signed(i as isize * b.inner_stride())..][..n];
                    for (out, &y) in out.iter_mut().zip(row) {
                        *out = fma::<FMA>(x, y, *out);
                    }
                }
                continue;
            }
            for (j, out) in out.iter_mut().enumerate() {
                let start_a = at_a.wrapping_add_signed(j as isize * a.out_stride);
                let start_b = at_b.wrapping_add_signed(j as isize * b.out_stride);
                if a.inner_stride() == 1 && b.inner_stride() == 1 {
                    *out += dot_body::<FMA>(&a.words[start_a..][..inner], &b.words[start_b..][..inner]);
                    continue;
                }
                let mut lanes = [0.0f32; 16];
                for i in 0..inner {
                    let x = a.words[start_a.wrapping_add_signed(i as isize * a.inner_stride())];
                    let y = b.words[start_b.wrapping_add_signed(i as isize * b.inner_stride())];
                    lanes[i % 16] = fma::<FMA>(x, y, lanes[i % 16]);
                }
                *out += sum_lanes(lanes);
            }
        }
    }
}

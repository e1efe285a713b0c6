//! Rotary position embedding: pairs of a head's elements turned by rows of (cos, sin) that the host made.

use crate::graph::RopeStyle;
use crate::plan::{Rope, RopeTable};

use super::isa::{Isa, for_each_isa};
use super::step::StepContext;

/// A rotation's table `[T, n_dims / 2, 2]` during a step.
#[derive(Clone, Copy)]
pub(super) struct RopeRows<'a> {
    pub table: &'a [f32],
    pub style: RopeStyle,
    pub n_dims: usize,
}

impl<'a> RopeRows<'a> {
    pub fn new(table: &'a [f32], rope: &RopeTable) -> Self {
        RopeRows { table, style: rope.style, n_dims: rope.n_dims }
    }
}

/// Rotates the first `n_dims` elements of a head by row `t`.
pub(super) fn rotate(isa: Isa, head: &mut [f32], rope: &RopeRows<'_>, t: usize) {
    let row = &rope.table[t * rope.n_dims..][..rope.n_dims];
    match rope.style {
        RopeStyle::Interleaved => rotate_neighbours(isa, &mut head[..rope.n_dims], row),
        RopeStyle::Neox => {
            let (first, second) = head[..rope.n_dims].split_at_mut(rope.n_dims / 2);
            rotate_halves(isa, first, second, row);
        }
    }
}

for_each_isa! {
    fn rotate_neighbours(head: &mut [f32], row: &[f32]) {
        for (pair, turn) in head.chunks_exact_mut(2).zip(row.chunks_exact(2)) {
            let (a, b, cos, sin) = (pair[0], pair[1], turn[0], turn[1]);
            pair[0] = a * cos - b * sin;
            pair[1] = a * sin + b * cos;
        }
    }
}

for_each_isa! {
    fn rotate_halves(first: &mut [f32], second: &mut [f32], row: &[f32]) {
        for ((a, b), turn) in first.iter_mut().zip(second).zip(row.chunks_exact(2)) {
            let (x, y, cos, sin) = (*a, *b, turn[0], turn[1]);
            *a = x * cos - y * sin;
            *b = x * sin + y * cos;
        }
    }
}

pub(super) fn run(ctx: &StepContext<'_>, step: &Rope) {
    let (x, rope, out) = (ctx.strided(&step.x), ctx.rope_rows(&step.rope), ctx.out(step.out));
    let (isa, heads, d) = (ctx.isa, step.n_heads, step.head_dim);
    ctx.threads.run(step.rows.of_run(ctx.n_tokens), |t| {
        // SAFETY: row `t` of the output is this task's alone.
        let row: &mut [f32] = unsafe { out.range_mut(t * heads * d, heads * d) };
        for (h, head) in row.chunks_exact_mut(d).enumerate() {
            x.copy_row(&[t, h], head);
            rotate(isa, head, &rope, t);
        }
    });
}

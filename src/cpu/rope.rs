//! Rotary position embedding: pairs of a head's elements turned by rows of (cos, sin) that the host made.

use crate::graph::RopeStyle;
use crate::plan::{Rope, RopeTable};

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
pub(super) fn rotate(head: &mut [f32], rope: &RopeRows<'_>, t: usize) {
    let pairs = rope.n_dims / 2;
    let row = &rope.table[t * pairs * 2..][..pairs * 2];
    match rope.style {
        RopeStyle::Interleaved => {
            for (pair, turn) in head.chunks_exact_mut(2).zip(row.chunks_exact(2)) {
                (pair[0], pair[1]) = (pair[0] * turn[0] - pair[1] * turn[1], pair[0] * turn[1] + pair[1] * turn[0]);
            }
        }
        RopeStyle::Neox => {
            let (first, second) = head.split_at_mut(pairs);
            for ((a, b), turn) in first.iter_mut().zip(second).zip(row.chunks_exact(2)) {
                (*a, *b) = (*a * turn[0] - *b * turn[1], *a * turn[1] + *b * turn[0]);
            }
        }
    }
}

pub(super) fn run(ctx: &StepContext<'_>, step: &Rope) {
    let (x, rope, out) = (ctx.strided(&step.x), ctx.rope_rows(&step.rope), ctx.out(step.out));
    let (heads, d) = (step.n_heads, step.head_dim);
    ctx.threads.run(step.rows.of_run(ctx.n_tokens), |t| {
        // SAFETY: row `t` of the output is this task's alone.
        let row: &mut [f32] = unsafe { out.range_mut(t * heads * d, heads * d) };
        for (h, head) in row.chunks_exact_mut(d).enumerate() {
            x.copy_row(&[t, h], head);
            rotate(head, &rope, t);
        }
    });
}

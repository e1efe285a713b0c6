//! Products with the matrices of chosen experts.
//!
//! The choices of a run are taken expert by expert, up to [`FEW_ROWS`] at a time, so that an expert's rows come from memory once for all of them while
//! each choice has the bits that it has alone, whatever other tokens chose.

use crate::cpu::step::StepContext;
use crate::plan::ExpertLinear;

use super::scratch::with_scratch;
use super::{FEW_ROWS, LinearMemory, Product, Tile};

/// Rows of a unit of work.
const UNIT: usize = 64;

/// What a step keeps for the next one.
#[derive(Default)]
pub(super) struct ExpertMemory {
    /// Experts and the choices of them, in order.
    choices: Vec<(usize, usize)>,
    /// The rows of x of some choices.
    x: Vec<f32>,
}

/// Runs one step.
pub(in crate::cpu) fn run(ctx: &StepContext<'_>, memory: &mut LinearMemory, step: &ExpertLinear) {
    let n_choices = step.rows.of_run(ctx.n_tokens) * step.n_chosen;
    let (x, ids, out) = (ctx.f32(step.x), &ctx.read::<i32>(step.ids)[..n_choices], ctx.out(step.out));
    let LinearMemory { acts, experts, .. } = memory;
    experts.choices.clear();
    for (choice, &id) in ids.iter().enumerate() {
        match usize::try_from(id).ok().filter(|&expert| expert < step.n_experts && step.k > 0) {
            Some(expert) => experts.choices.push((expert, choice)),
            // SAFETY: nothing else writes the row of this choice, and no task runs.
            None => unsafe { out.range_mut::<f32>(choice * step.n, step.n) }.fill(0.0),
        }
    }
    experts.choices.sort_unstable();
    let rows = ctx.weight_rows(step.weight);
    for of_expert in experts.choices.chunk_by(|a, b| a.0 == b.0) {
        for some in of_expert.chunks(FEW_ROWS) {
            experts.x.clear();
            for &(_, choice) in some {
                let row = if step.each { choice } else { choice / step.n_chosen };
                experts.x.extend_from_slice(&x[row * step.k..][..step.k]);
            }
            let first_row = step.first_row + some[0].0 * step.n;
            let product = Product::new(ctx.isa, ctx.threads, ctx.precise, &rows, &experts.x, acts);
            ctx.threads.run(step.n.div_ceil(UNIT), |unit| {
                with_scratch(|scratch| {
                    let first = unit * UNIT;
                    let width = UNIT.min(step.n - first);
                    let mut y = std::mem::take(&mut scratch.y);
                    y.resize(some.len() * width, 0.0);
                    product.multiply(first_row + first, width, scratch, &mut Tile { values: &mut y, width, column: 0 });
                    for (&(_, choice), y) in some.iter().zip(y.chunks_exact(width)) {
                        // SAFETY: these columns of the choice's row are this unit's alone.
                        unsafe { out.range_mut::<f32>(choice * step.n + first, width) }.copy_from_slice(y);
                    }
                    scratch.y = y;
                });
            });
        }
    }
}

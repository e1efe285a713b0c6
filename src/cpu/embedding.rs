//! `out[t] = table[ids[t]]`, widened to f32; an id out of range gives 0.

use crate::plan::Embedding;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, step: &Embedding) {
    let n = step.rows.of_run(ctx.n_tokens);
    let (ids, table, out) = (&ctx.read::<i32>(step.ids)[..n], ctx.weight_rows(step.table), ctx.out(step.out));
    if step.width == 0 || table.n_rows() == 0 {
        return;
    }
    let isa = ctx.isa;
    ctx.threads.run(n, |t| {
        // SAFETY: row `t` of the output is this task's alone.
        let out: &mut [f32] = unsafe { out.range_mut(t * step.width, step.width) };
        match usize::try_from(ids[t]).ok().filter(|&row| row < table.n_rows()) {
            Some(row) => table.widen(isa, row, out),
            None => out.fill(0.0),
        }
    });
}

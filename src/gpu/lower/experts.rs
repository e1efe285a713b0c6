//! Products with the matrices of chosen experts.

use std::sync::Arc;

use super::super::assemble::Source;
use super::super::tuning::{MatvecWork, of_experts};
use super::neural::with_piece;
use super::{Grid, Lowering, RunShape, Work, fold, of_rows};
use crate::graph::ExecError;
use crate::plan::ExpertLinear;

impl Lowering<'_> {
    pub(super) fn expert_linear(&mut self, k: &ExpertLinear) -> Result<(), ExecError> {
        self.check_rounds("a linear layer", k.k, k.k / 2)?;
        let placed = self.placed[k.weight.0 as usize].clone();
        let work = MatvecWork { format: placed.format(), n: k.n, k: k.k, normed: false, epilogue: "store" };
        let shape = of_experts(self.caps, &work);
        let prologue = if k.k.is_multiple_of(32) { "prologue/plain" } else { "prologue/ragged" };
        for part in placed.pieces_of(k.first_row, k.n_experts * k.n) {
            let source = Source::new("expert_linear")
                .set("WORKGROUP", shape.workgroup)
                .set("LANES", shape.lanes)
                .set("ROWS", shape.rows)
                .set("SLOTS", shape.slots())
                .set("K", k.k)
                .set("GROUPS", k.k.div_ceil(32))
                .with("prelude/reduce")
                .with_weight(placed.format().fragments)
                .with(prologue);
            let arguments = of_rows(k.rows)
                .set("n", k.n)
                .set("n_experts", k.n_experts)
                .set("n_chosen", k.n_chosen)
                .set("each", k.each)
                .set("first_row", part.out)
                .set("n_rows", part.n)
                .set("base_row", part.row)
                .bind("x", k.x)
                .bind("ids", k.ids)
                .bind("out", k.out);
            let (rows, n_chosen, blocks) = (k.rows, k.n_chosen, k.n.div_ceil(shape.slots()) as u32);
            let grid = Grid::PerRun(Arc::new(move |run: &RunShape| {
                let [y, z, _] = fold(rows.of_run(run.n_tokens) * n_chosen);
                [blocks, y, z]
            }));
            let work = Work { each_row: (k.n_chosen * k.n * k.k) as f64, rows: Some(k.rows) };
            self.push_work(source, with_piece(arguments, placed.format(), k.weight, part.index), grid, work);
        }
        Ok(())
    }
}

//! Sampling: two small dispatches where the choice is greedy, two others otherwise. Which of them run is decided for each run.

use std::sync::Arc;

use super::super::assemble::Source;
use super::super::cache::history_len;
use super::{Arguments, Grid, Lowering, Operand, RunShape, SegmentShape};
use crate::graph::ExecError;
use crate::plan::{Sample, ScalarRef};

const PARTS: u32 = 64;

/// Groups of logits whose maxima `punish` keeps: so many that the k-th largest of them is hardly less than the k-th largest logit.
const GROUPS: usize = 4096;
/// Passes over all logits of a draw without top-k, at most: 34 for top-p, four for the ids of ties, eight for top-k, two for the draw, and
/// some rounds of the other loops.
const PASSES: usize = 52;
/// Elements of a group, at least.
const LEAST_EACH: usize = 8;

impl Lowering<'_> {
    pub(super) fn sample(&mut self, k: &Sample) -> Result<(), ExecError> {
        let has_history = k.history.is_some();
        let history = k.history.map(Operand::History);
        let spec = k.history.and_then(|c| self.cache(c).ok()).map(|(spec, _)| *spec);
        let history_len = spec.map_or(1, |s| history_len(&s));
        let [temperature, .., repeat_penalty, repeat_last_n, _] = k.settings;
        let greedy = move |segment: &SegmentShape| is_greedy(segment, temperature, repeat_penalty, repeat_last_n, has_history);
        // Rows that are drawn of such a kind, or none where no row is.
        let rows_of = move |run: &RunShape, is_greedy: bool| {
            let has_one = run.segments.iter().any(|segment| greedy(segment) == is_greedy);
            if has_one { run.segments.len() as u32 } else { 0 }
        };
        let source = |op| Source::new(op).with("prelude/draws").set("HAS_HISTORY", has_history);
        let arguments = || {
            let draws = self.layout.draws_of(self.step_idx);
            Arguments::default().set("history_len", history_len).set("draws", draws)
        };

        let of_logits = arguments().set("vocab", k.vocab);
        let with_history = arguments().bind_some("history", history);
        let parts = self.scratch(2 * PARTS as usize * k.rows);
        let partial = source("argmax_partial").with("prelude/order").set("PARTS", PARTS);
        let grid = move |run: &RunShape| [PARTS, rows_of(run, true), 1];
        self.push(partial, of_logits.clone().bind("logits", k.logits).bind("parts", parts), Grid::PerRun(Arc::new(grid)));
        let last = source("argmax_final").with("prelude/order").set("PARTS", PARTS);
        let grid = move |run: &RunShape| [rows_of(run, true), 1, 1];
        self.push(last, with_history.bind("parts", parts).bind("out", k.out), Grid::PerRun(Arc::new(grid)));

        let slice = if self.caps.software { 32 } else { 256 };
        let each = k.vocab.div_ceil(GROUPS).max(LEAST_EACH);
        let slices = k.vocab.div_ceil(slice * each);
        let punished = self.scratch(k.rows * k.vocab);
        let maxima = self.scratch(k.rows * slices * slice);
        let of_logits = of_logits
            .set("each", each)
            .set("n_maxima", slices * slice)
            .bind_some("history", history)
            .bind("punished", punished)
            .bind("maxima", maxima);
        let grid = move |run: &RunShape| [slices as u32, rows_of(run, false), 1];
        let punish = source("punish").set("WORKGROUP", slice);
        self.push(punish, of_logits.clone().bind("logits", k.logits), Grid::PerRun(Arc::new(grid)));

        let least = if self.caps.software { 32 } else { self.caps.workgroup_threads.min(1024) as usize };
        let workgroup = self.workgroup_for(least, |threads| PASSES * k.vocab / threads);
        self.check_rounds("a draw", k.vocab, PASSES * k.vocab / workgroup)?;
        let draw = source("sample")
            .with("prelude/reduce")
            .with("prelude/philox")
            .with("prelude/order")
            .with("prelude/radix_select")
            .with("prelude/candidates")
            .set("WORKGROUP", workgroup)
            .set("LANES", workgroup);
        let grid = move |run: &RunShape| [rows_of(run, false), 1, 1];
        self.push(draw, of_logits.set("slice", slice).bind("out", k.out), Grid::PerRun(Arc::new(grid)));
        Ok(())
    }
}

/// Whether the largest logit is the choice: no temperature, and no penalty that could change it.
fn is_greedy(segment: &SegmentShape, temperature: ScalarRef, penalty: ScalarRef, last_n: ScalarRef, has_history: bool) -> bool {
    segment.f32(temperature) == 0.0 && (segment.f32(penalty) == 1.0 || !has_history || segment.i32(last_n) <= 0)
}

//! Sampling: two small dispatches where the choice is greedy, two others otherwise. Which of them run is decided for each run.

use std::sync::Arc;

use super::super::assemble::Source;
use super::super::cache::history_len;
use super::{Arguments, Grid, Lowering, Operand, RunShape};
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
        let history_len = spec.map_or(1, |s| history_len(&s)) as u32;
        let [temperature, .., repeat_penalty, repeat_last_n, _] = k.settings;
        let greedy = move |run: &RunShape| is_greedy(run, temperature, repeat_penalty, repeat_last_n, has_history);

        let parts = self.scratch(2 * PARTS as usize);
        let source = Source::new("argmax_partial").with("prelude/order").set("PARTS", PARTS);
        let grid = move |run: &RunShape| [if greedy(run) { PARTS } else { 0 }, 1, 1];
        let arguments = Arguments::default().set("vocab", k.vocab).bind("logits", k.logits).bind("parts", parts);
        self.push(source, arguments, Grid::PerRun(Arc::new(grid)));
        let source = Source::new("argmax_final").with("prelude/order").set("PARTS", PARTS).set("HAS_HISTORY", has_history);
        let grid = move |run: &RunShape| [u32::from(greedy(run)), 1, 1];
        let of_history =
            Arguments::default().set("history_len", history_len).set("position", self.word(k.position)).bind_some("history", history);
        self.push(source, of_history.clone().bind("parts", parts).bind("out", k.out), Grid::PerRun(Arc::new(grid)));

        let slice = if self.caps.software { 32 } else { 256 };
        let each = k.vocab.div_ceil(GROUPS).max(LEAST_EACH);
        let slices = k.vocab.div_ceil(slice * each);
        let punished = self.scratch(k.vocab);
        let maxima = self.scratch(slices * slice);
        let source = Source::new("punish").set("WORKGROUP", slice).set("HAS_HISTORY", has_history);
        let words = k.settings.map(|s| self.word(s));
        let [temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed] = words;
        let of_logits = of_history.set("vocab", k.vocab).set("each", each).bind("punished", punished).bind("maxima", maxima);
        let arguments = of_logits.clone().set("repeat_penalty", repeat_penalty).set("repeat_last_n", repeat_last_n);
        let grid = move |run: &RunShape| [if greedy(run) { 0 } else { slices as u32 }, 1, 1];
        self.push(source, arguments.bind("logits", k.logits), Grid::PerRun(Arc::new(grid)));

        let least = if self.caps.software { 32 } else { self.caps.workgroup_threads.min(1024) as usize };
        let workgroup = self.workgroup_for(least, |threads| PASSES * k.vocab / threads);
        self.check_rounds("a draw", k.vocab, PASSES * k.vocab / workgroup)?;
        let source = Source::new("sample")
            .with("prelude/reduce")
            .with("prelude/philox")
            .with("prelude/order")
            .with("prelude/radix_select")
            .with("prelude/candidates")
            .set("WORKGROUP", workgroup)
            .set("LANES", workgroup)
            .set("HAS_HISTORY", has_history);
        let arguments = of_logits
            .set("n_maxima", slices * slice)
            .set("slice", slice)
            .set("temperature", temperature)
            .set("top_k", top_k)
            .set("top_p", top_p)
            .set("min_p", min_p)
            .set("seed", seed)
            .bind("out", k.out);
        let grid = move |run: &RunShape| [u32::from(!greedy(run)), 1, 1];
        self.push(source, arguments, Grid::PerRun(Arc::new(grid)));
        Ok(())
    }
}

/// Whether the largest logit is the choice: no temperature, and no penalty that could change it.
fn is_greedy(run: &RunShape, temperature: ScalarRef, penalty: ScalarRef, last_n: ScalarRef, has_history: bool) -> bool {
    run.f32(temperature) == 0.0 && (run.f32(penalty) == 1.0 || !has_history || run.i32(last_n) <= 0)
}

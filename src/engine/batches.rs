//! Decoding many sequences together.

use std::time::Instant;

use crate::bench::{BatchPoint, Report, Summary};
use crate::graph::Sampling;
use crate::model::{Event, Request, Scheduler, SchedulerOptions};
use crate::text::TokenId;

use super::EngineError;
use super::measure::Bench;
use super::steps::ModelSteps;

/// Tokens of each sequence's prompt, and of each measurement of it.
const PROMPT: usize = 128;
const NEW: usize = 64;
/// Runs of all sequences before those that count.
const WARM_UPS: usize = 4;

impl Bench<'_> {
    /// Decodes so many sequences together, each with a prompt of its own: the time from when all of them decode.
    pub(super) fn batches(
        &mut self,
        sizes: &[usize],
        runs: usize,
        report: &mut Report,
        on_progress: &mut impl FnMut(&str),
    ) -> Result<(), EngineError> {
        for &sequences in sizes {
            on_progress(&format!("{sequences} sequences together"));
            let mut scheduler = self.model.scheduler_with_window(sequences, Some((PROMPT + NEW * (runs + 1)).next_power_of_two()))?;
            // What each sequence computes is measured.
            scheduler.set_options(SchedulerOptions { keeps_prefixes: false, ..SchedulerOptions::default() });
            let mut added = Vec::with_capacity(sequences);
            for i in 0..sequences {
                let word = |t: usize| TokenId(((i * 7919 + t * 131 + 1) % self.model.config.vocab_len) as u32);
                let ids = (0..PROMPT).map(word).collect();
                added.push(scheduler.add(Request { ids, sampling: Sampling::default(), max_tokens: usize::MAX, ends: Vec::new() })?);
            }
            while added.iter().any(|&sequence| scheduler.prompt_left(sequence) > 0) {
                scheduler.step()?;
            }
            tokens(&mut scheduler, WARM_UPS * sequences)?;
            let mut seconds = Vec::with_capacity(runs);
            for _ in 0..runs {
                let start = Instant::now();
                let n = tokens(&mut scheduler, NEW * sequences)?;
                seconds.push(start.elapsed().as_secs_f64() / n as f64);
            }
            report.batches.push(BatchPoint { sequences, tokens_per_second: Summary::of(&seconds).rate(1.0) });
        }
        Ok(())
    }
}

/// Steps until `n` tokens or a few more have come; how many.
fn tokens(scheduler: &mut Scheduler<ModelSteps>, n: usize) -> Result<usize, EngineError> {
    let mut came = 0;
    while came < n && !scheduler.is_empty() {
        came += scheduler.step()?.iter().filter(|event| matches!(event, Event::Token { .. })).count();
    }
    Ok(came.max(1))
}

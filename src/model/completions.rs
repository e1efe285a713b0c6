//! Several completions of one prompt, each the one that its seed gives alone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::graph::Sampling;
use crate::text::TokenId;

use super::generate::{Finish, GenerateError, StepPrograms};
use super::scheduler::{Event, Request, Scheduler, SequenceId};

/// What is drawn.
#[derive(Clone, Debug)]
pub struct CompletionsRequest {
    pub prompt: Vec<TokenId>,
    /// How many completions.
    pub n: usize,
    /// Number i has this seed plus i.
    pub sampling: Sampling,
    pub max_tokens: usize,
    /// Tokens that end a completion.
    pub ends: Vec<TokenId>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    pub ids: Vec<TokenId>,
    /// `None` where the caller broke off before.
    pub finish: Option<Finish>,
    /// From when the prompt was read.
    pub took: Duration,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub prompt_read: usize,
    pub done: usize,
}

/// Draws them together, on a scheduler that has room for one sequence more than completions: the prompt is read once. Gives them in the order of their seeds,
/// and the time that the prompt took. `on_run` is called before each run, and may break off.
///
/// # Errors
/// When the prompt is empty or the logits leave nothing to choose, and those of the scheduler.
pub fn complete<P: StepPrograms>(
    scheduler: &mut Scheduler<P>,
    request: &CompletionsRequest,
    mut on_run: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Vec<Completion>, Duration), P::Error>
where
    P::Error: From<GenerateError>,
{
    let CompletionsRequest { prompt, n, sampling, max_tokens, ends } = request;
    let of = |i: usize| Request {
        ids: prompt.clone(),
        sampling: Sampling { seed: sampling.seed.wrapping_add(i as u32), ..*sampling },
        max_tokens: *max_tokens,
        ends: ends.clone(),
    };
    let start = Instant::now();
    // The last token is each completion's own: what it draws stands behind it.
    let shared = prompt.len().saturating_sub(1);
    let base = match shared {
        0 => None,
        _ => Some(scheduler.add(Request { ids: prompt[..shared].to_vec(), max_tokens: 1, ..of(0) })?),
    };
    let mut is_over = false;
    while let Some(left) = base.map(|base| scheduler.prompt_left(base)).filter(|&left| left > 0 && !is_over) {
        is_over = on_run(Progress { prompt_read: shared - left, done: 0 }).is_break();
        scheduler.step()?;
    }
    let mut completions: BTreeMap<SequenceId, Completion> = BTreeMap::new();
    for i in 0..*n {
        let sequence = match base {
            Some(base) => scheduler.fork(base, shared, of(i))?,
            None => scheduler.add(of(i))?,
        };
        completions.insert(sequence, Completion::default());
    }
    if let Some(base) = base {
        scheduler.cancel(base);
    }
    let prefill = start.elapsed();
    let mut done = 0;
    while !scheduler.is_empty() && !is_over {
        is_over = on_run(Progress { prompt_read: prompt.len(), done }).is_break();
        for event in scheduler.step()? {
            match event {
                Event::Token { sequence, id } => completions.entry(sequence).or_default().ids.push(id),
                Event::End { sequence, finish } => {
                    let completion = completions.entry(sequence).or_default();
                    (completion.finish, completion.took) = (Some(finish), start.elapsed().saturating_sub(prefill));
                    done += 1;
                }
                Event::Failed { sequence, reason } => {
                    let position = prompt.len() + completions.get(&sequence).map_or(0, |c| c.ids.len()) - 1;
                    let advice = "find the first step without numbers with `tl trace MODEL`";
                    return Err(GenerateError::NoChoice { reason, position, advice }.into());
                }
            }
        }
    }
    for sequence in completions.keys() {
        scheduler.cancel(*sequence);
    }
    Ok((completions.into_values().collect(), prefill))
}

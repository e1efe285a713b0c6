//! Beam search: the likeliest completions, not one of many that are drawn. Source: Graves, arXiv:1211.3711, section 2.5.
//!
//! A beam is a fork of the sequence that it goes on from, so that the tokens that beams share are computed and kept once. The host reads the logits
//! back, and adds up their logarithms in f64.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::graph::{Binding, CacheId, CacheSpec, CacheUse, NoChoice, Sampling, Segment, SharedExecutor, Unused};
use crate::tensor::HostTensor;
use crate::text::TokenId;

use super::generate::{Finish, GenerateError, StepPrograms, run_len};

/// What is searched for.
#[derive(Clone, Debug)]
pub struct BeamRequest {
    pub prompt: Vec<TokenId>,
    /// Completions that are held at a time, and the most that are given.
    pub beams: usize,
    pub max_tokens: usize,
    /// Tokens that end a completion.
    pub ends: Vec<TokenId>,
}

/// A completion.
#[derive(Clone, Debug, PartialEq)]
pub struct Beam {
    /// Without the token that ends it.
    pub ids: Vec<TokenId>,
    /// ln of the probability that the model draws exactly these tokens, at temperature 1 of all tokens; with the one that ends it, where one does.
    pub logprob: f64,
    /// `Stop` or `Length`.
    pub finish: Finish,
}

/// A completion on its way.
struct Live {
    cache: CacheId,
    ids: Vec<TokenId>,
    logprob: f64,
}

/// How a completion may go on.
struct Candidate {
    of: usize,
    id: TokenId,
    logprob: f64,
}

/// The sequences of a search, which end with it.
struct Search<'a, P> {
    executor: &'a SharedExecutor,
    programs: &'a mut P,
    live: Vec<Live>,
}

/// The completions with the highest probability that a search which keeps `beams` of them at a time finds, the likeliest first. `spec` is the shape of
/// their memory, with as many sequences and pages for them; a prompt is read in runs of `chunk` tokens. `on_run` is called before each run with the
/// tokens read and given so far; where it breaks off, what there is is given.
///
/// # Errors
/// When the prompt is empty, the program takes one sequence a run, the logits are no numbers, and those of the executor.
pub fn beam_search<P: StepPrograms>(
    executor: &SharedExecutor,
    programs: &mut P,
    (spec, chunk): (&CacheSpec, usize),
    request: &BeamRequest,
    mut on_run: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Beam>, P::Error>
where
    P::Error: From<GenerateError>,
{
    let BeamRequest { prompt, beams, max_tokens, ends } = request;
    if prompt.is_empty() {
        return Err(GenerateError::EmptyPrompt.into());
    }
    let cache = executor.lock().new_cache(spec)?;
    let mut search = Search { executor, programs, live: vec![Live { cache, ids: Vec::new(), logprob: 0.0 }] };
    let mut fed = 0;
    let mut logits = Vec::new();
    while fed < prompt.len() {
        if on_run(fed, 0).is_break() {
            return Ok(Vec::new());
        }
        let n = run_len(prompt.len() - fed, chunk.clamp(1, spec.chunk), spec.chunk);
        logits = search.run(&[(cache, &prompt[fed..fed + n])], fed)?;
        fed += n;
    }
    let mut ended: Vec<Beam> = Vec::new();
    for n_given in 0..*max_tokens {
        let candidates = search.candidates(&logits, *beams, ends, prompt.len() + n_given - 1)?;
        let mut next = Vec::with_capacity(*beams);
        for candidate in candidates {
            if next.len() == *beams {
                break;
            }
            if ends.contains(&candidate.id) {
                let ids = search.live[candidate.of].ids.clone();
                ended.push(Beam { ids, logprob: candidate.logprob, finish: Finish::Stop });
            } else {
                next.push(candidate);
            }
        }
        keep_likeliest(&mut ended, *beams);
        search.go_on(next, prompt.len() + n_given)?;
        // What goes on only becomes less likely.
        let best = search.live.iter().map(|live| live.logprob).fold(f64::NEG_INFINITY, f64::max);
        let is_settled = ended.len() == *beams && ended.last().is_some_and(|worst| worst.logprob >= best);
        if search.live.is_empty() || is_settled || n_given + 1 == *max_tokens || on_run(fed, n_given + 1).is_break() {
            break;
        }
        let position = prompt.len() + n_given;
        let newest: Vec<(CacheId, [TokenId; 1])> = search.live.iter().filter_map(|live| Some((live.cache, [*live.ids.last()?]))).collect();
        logits.clear();
        for part in newest.chunks(spec.chunk) {
            let rows: Vec<(CacheId, &[TokenId])> = part.iter().map(|(cache, id)| (*cache, &id[..])).collect();
            logits.extend(search.run(&rows, position)?);
        }
    }
    let live = std::mem::take(&mut search.live);
    executor.let_go(live.iter().map(|live| Unused::Cache(live.cache)));
    ended.extend(live.into_iter().map(|live| Beam { ids: live.ids, logprob: live.logprob, finish: Finish::Length }));
    keep_likeliest(&mut ended, *beams);
    Ok(ended)
}

/// The likeliest first; equal ones stay in their order.
fn keep_likeliest(beams: &mut Vec<Beam>, n: usize) {
    beams.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
    beams.truncate(n);
}

impl<P: StepPrograms> Search<'_, P>
where
    P::Error: From<GenerateError>,
{
    /// Feeds each sequence its ids, from `position` on, and gives the logits behind the last of them.
    fn run(&mut self, rows: &[(CacheId, &[TokenId])], position: usize) -> Result<Vec<Vec<f32>>, P::Error> {
        let n_rows = rows.iter().map(|(_, ids)| ids.len()).sum();
        let Some(step) = self.programs.batch_logits(n_rows, rows.len())? else {
            let why = self.programs.one_sequence().unwrap_or_else(|| "its program takes one sequence a run".to_owned());
            return Err(GenerateError::NoBeams { why }.into());
        };
        let mut executor = self.executor.lock();
        let mut segments = Vec::with_capacity(rows.len());
        for (cache, ids) in rows {
            let values: Vec<i32> = ids.iter().map(|id| id.0 as i32).collect();
            executor.record_history(*cache, position, &values)?;
            let caches = vec![CacheUse { cache: *cache, position }];
            segments.push(Segment { caches, n_tokens: ids.len(), sampling: Sampling::default() });
        }
        let tokens = Binding::Host(Arc::new(HostTensor::i32([0], Vec::new())));
        let outputs = executor.run(step.program, &step.args_of(tokens, segments))?;
        let logits = executor.read(&outputs[0])?;
        let vocab = logits.shape.last_dim().max(1);
        Ok(logits.as_f32().unwrap_or(&[]).chunks(vocab).take(rows.len()).map(<[f32]>::to_vec).collect())
    }

    /// The likeliest ways to go on, the likeliest first: of each completion at least `n` that do not end it, where there are so many. `logits`: behind the
    /// token at `position`, by completion.
    fn candidates(&self, logits: &[Vec<f32>], n: usize, ends: &[TokenId], position: usize) -> Result<Vec<Candidate>, GenerateError> {
        let mut candidates = Vec::new();
        for (of, (live, logits)) in self.live.iter().zip(logits).enumerate() {
            let wrong =
                |reason| GenerateError::NoChoice { reason, position, advice: "find the first step without numbers with `tl trace MODEL`" };
            let logprobs = log_softmax(logits).map_err(wrong)?;
            let mut order: Vec<usize> = (0..logprobs.len()).filter(|&id| logprobs[id] > f64::NEG_INFINITY).collect();
            let by_probability = |a: &usize, b: &usize| logprobs[*b].total_cmp(&logprobs[*a]).then(a.cmp(b));
            let most = n + ends.len();
            if order.len() > most {
                order.select_nth_unstable_by(most, by_probability);
                order.truncate(most);
            }
            candidates.extend(order.into_iter().map(|id| Candidate { of, id: TokenId(id as u32), logprob: live.logprob + logprobs[id] }));
        }
        candidates.sort_by(|a, b| b.logprob.total_cmp(&a.logprob).then(a.of.cmp(&b.of)).then(a.id.0.cmp(&b.id.0)));
        Ok(candidates)
    }

    /// Goes on with these: the first of each completion in its place, the others in forks of it. Completions that none goes on from end first, so
    /// that there are never more sequences than beams. `position`: of the token that each gets.
    fn go_on(&mut self, next: Vec<Candidate>, position: usize) -> Result<(), P::Error> {
        let before = std::mem::take(&mut self.live);
        let is_used = |of: usize| next.iter().any(|candidate| candidate.of == of);
        // Held from here on, whatever fails.
        self.live.extend(before.iter().enumerate().filter(|(of, _)| is_used(*of)).map(|(_, live)| Live { ids: Vec::new(), ..*live }));
        let unused = before.iter().enumerate().filter(|(of, _)| !is_used(*of));
        self.executor.let_go(unused.map(|(_, live)| Unused::Cache(live.cache)));
        let mut taken = vec![false; before.len()];
        let mut live = Vec::with_capacity(next.len());
        for Candidate { of, id, logprob } in next {
            let cache = match std::mem::replace(&mut taken[of], true) {
                false => before[of].cache,
                true => {
                    let fork = self.executor.lock().fork_cache(before[of].cache, position)?;
                    self.live.push(Live { cache: fork, ids: Vec::new(), logprob });
                    fork
                }
            };
            live.push(Live { cache, ids: before[of].ids.iter().copied().chain([id]).collect(), logprob });
        }
        self.live = live;
        Ok(())
    }
}

impl<P> Drop for Search<'_, P> {
    fn drop(&mut self) {
        self.executor.let_go(self.live.iter().map(|live| Unused::Cache(live.cache)));
    }
}

/// ln of the probability of each id, in f64.
fn log_softmax(logits: &[f32]) -> Result<Vec<f64>, NoChoice> {
    if logits.is_empty() || logits.iter().any(|v| v.is_nan()) {
        return Err(NoChoice::Nan);
    }
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most.is_infinite() {
        return Err(NoChoice::Infinite);
    }
    let sum: f64 = logits.iter().map(|&v| (f64::from(v) - f64::from(most)).exp()).sum();
    Ok(logits.iter().map(|&v| f64::from(v) - f64::from(most) - sum.ln()).collect())
}

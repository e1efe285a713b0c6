//! Decoding with drafts: one run draws the token behind each drafted one, and those that were drafted as they are drawn cost no run of their own.
//!
//! Draws depend on seed and position alone, so the tokens are those of decoding without drafts: a row's draw counts only where all tokens before it
//! are what was drawn.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crate::graph::{Binding, CacheUse, DeviceTensor, NoChoice, Sampling, Segment};
use crate::tensor::HostTensor;
use crate::text::TokenId;

use super::draft::{DRAFT_MAX, Drafter, Drafts};
use super::generate::{Finish, GenerateError, Generator, StepPrograms, Timing};

impl<P: StepPrograms> Generator<P>
where
    P::Error: From<GenerateError>,
{
    /// From now on `n` tokens at a time, at most [`DRAFT_MAX`], are drafted and verified together. The tokens stay the same.
    pub fn set_drafter(&mut self, drafter: Box<dyn Drafter<P::Error>>, n: usize) {
        self.drafts = Some(Drafts { drafter, n: n.clamp(1, DRAFT_MAX) });
    }

    /// From now on each token has a run of its own.
    pub fn remove_drafter(&mut self) {
        self.drafts = None;
    }

    /// The loop of `generate` behind the prompt, whose draw is `first`.
    pub(super) fn decode_with_drafts(
        &mut self,
        drafts: &mut Drafts<P::Error>,
        first: &DeviceTensor,
        (sampling, max_tokens): (Sampling, usize),
        is_end: impl Fn(TokenId) -> bool,
        on_token: &mut impl FnMut(TokenId) -> ControlFlow<()>,
        (timing, start): (&mut Timing, Instant),
    ) -> Result<Finish, P::Error> {
        let mut newest = self.read_id(first, self.context.position() - 1)?;
        timing.prefill = start.elapsed();
        // Drawn and not given yet; the cache holds all but the last one.
        let mut drawn = VecDeque::from([newest]);
        loop {
            while let Some(id) = drawn.pop_front() {
                if is_end(id) {
                    return Ok(Finish::Stop);
                }
                timing.decode_tokens += 1;
                if !drawn.is_empty() {
                    self.context.feed(&[id]);
                }
                if on_token(id).is_break() {
                    return Ok(Finish::Interrupted);
                }
                if timing.decode_tokens >= max_tokens {
                    return Ok(Finish::Length);
                }
                newest = id;
            }
            // A run gives one token more than it verifies.
            let n = drafts.n.min(max_tokens - timing.decode_tokens - 1);
            let mut ids = self.context.ids().to_vec();
            ids.push(newest);
            let mut rows = vec![newest];
            if n > 0 {
                rows.extend(drafts.drafter.draft(&ids, sampling, n)?.into_iter().take(n));
            }
            drawn = self.verify(&rows, sampling)?;
            timing.drafted += rows.len() - 1;
            timing.accepted += drawn.len() - 1;
        }
    }

    /// Feeds a token and the drafted ones behind it, and gives what is drawn: the drafted tokens that are drawn in their turn, and the one behind them.
    fn verify(&mut self, rows: &[TokenId], sampling: Sampling) -> Result<VecDeque<TokenId>, P::Error> {
        let (n, position) = (rows.len(), self.context.position());
        let Some(step) = self.programs.batch(n, n)? else {
            let why = self.programs.one_sequence().unwrap_or_else(|| "its program takes one sequence a run".to_owned());
            return Err(GenerateError::NoDrafts { why }.into());
        };
        let values: Vec<i32> = rows.iter().map(|id| id.0 as i32).collect();
        // Segments of a row each, so that each is computed as a decode step is.
        let segment = |i| Segment { caches: vec![CacheUse { cache: self.cache, position: position + i }], n_tokens: 1, sampling };
        let tokens = Binding::Host(Arc::new(HostTensor::i32([0], Vec::new())));
        let args = step.args_of(tokens, (0..n).map(segment).collect());
        let mut executor = self.executor.lock();
        executor.record_history(self.cache, position, &values)?;
        let outputs = executor.run(step.program, &args)?;
        drop(executor);
        self.context.feed(&rows[..1]);
        self.context.wrote_to(position + n);
        let ids = self.executor.lock().read(&outputs[0])?;
        let ids = ids.as_i32().unwrap_or(&[]);
        let mut drawn = VecDeque::with_capacity(n);
        for i in 0..n {
            let id = self.known_id(ids.get(i).copied().unwrap_or(NoChoice::Nan.id()), position + i)?;
            drawn.push_back(id);
            if rows.get(i + 1) != Some(&id) {
                break;
            }
        }
        Ok(drawn)
    }
}

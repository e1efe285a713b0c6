//! The generate loop: prefill in chunks, then one step a token, sampled on the device and read back one step late.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::graph::{
    Binding, CacheId, CacheSpec, CacheUse, Compiled, Counters, DeviceTensor, ExecError, KvType, NoChoice, Sampling, SharedExecutor, Unused,
};
use crate::tensor::HostTensor;
use crate::text::TokenId;

use super::context::Context;
use super::draft::Drafts;

/// Compiles the step of a model: tokens in, the sampled next id out.
pub trait StepPrograms {
    type Error: From<ExecError>;

    /// The step for a run of `n_tokens` from `position` on; its token input has at least so many rows.
    ///
    /// # Errors
    /// Whatever compiling the model's program finds.
    fn step(&mut self, n_tokens: usize, position: usize) -> Result<Arc<Compiled>, Self::Error>;

    /// The step for a run of several sequences: `n_tokens` rows of `n_segments` segments in all, whose ids the histories hold. `None` where the
    /// program takes one sequence a run.
    ///
    /// # Errors
    /// As `step`.
    fn batch(&mut self, n_tokens: usize, n_segments: usize) -> Result<Option<Arc<Compiled>>, Self::Error> {
        let _ = (n_tokens, n_segments);
        Ok(None)
    }

    /// The same with the logits behind the last row of each segment, f32 `[n_segments or more, V]`, instead of what is drawn.
    ///
    /// # Errors
    /// As `step`.
    fn batch_logits(&mut self, n_tokens: usize, n_segments: usize) -> Result<Option<Arc<Compiled>>, Self::Error> {
        let _ = (n_tokens, n_segments);
        Ok(None)
    }

    /// Why a run holds one sequence at a time, as far as the steps so far have shown.
    fn one_sequence(&self) -> Option<String> {
        None
    }

    /// Why a prompt must be one run, as far as the steps so far have shown: its tokens look at each other other than through the cache, or
    /// at how many they are. `None` where it may be cut anywhere.
    fn whole_prompts(&self) -> Option<String> {
        None
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model gave a token that ends its turn.
    Stop,
    /// `max_tokens` were given.
    Length,
    /// The caller asked to stop.
    Interrupted,
}

/// What the loop of one generation took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    pub prefill_tokens: usize,
    pub prefill: Duration,
    pub decode_tokens: usize,
    pub decode: Duration,
    /// Tokens that were drafted, and those of them that were drawn too.
    pub drafted: usize,
    pub accepted: usize,
}

/// A generation that could not run.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("nothing to generate from: the prompt has no tokens")]
    EmptyPrompt,
    /// More tokens than one run takes, of a program for which runs may not be cut.
    #[error("{len} tokens at once are more than the {max} of one run, and may not be cut, since {why}: give a shorter prompt")]
    Uncut { len: usize, max: usize, why: String },
    #[error("there is room for {most} sequences at a time: wait until one has ended, or cancel one")]
    Full { most: usize },
    #[error("beams cannot be decoded together, since {why}: generate without beams")]
    NoBeams { why: String },
    #[error("drafts cannot be verified together, since {why}: generate without drafts")]
    NoDrafts { why: String },
    /// The logits behind the token at `position` leave nothing to choose.
    #[error("{reason} behind the token at position {position}, so that no token can be drawn; {advice}")]
    NoChoice { reason: NoChoice, position: usize, advice: &'static str },
}

/// Steps that are submitted one by one: what a step takes is not known before, and a processor that slept during the prompt makes them slowly.
const STEADY_STEPS: usize = 16;

/// A chunk of a prefill should not take longer, so that Ctrl-C is seen and no driver kills it.
const CHUNK_TARGET: Duration = Duration::from_millis(250);

/// A run of a prompt has at least this many tokens, where the prompt has them: executors compute a few rows by other kernels than many, whose
/// sums round differently, and where a prompt is cut follows the clock.
pub(super) const RUN_MIN: usize = 16;

/// One model with one cache on one executor.
pub struct Generator<P: StepPrograms> {
    pub(super) executor: SharedExecutor,
    pub(super) programs: P,
    pub(super) cache: CacheId,
    pub(super) context: Context,
    pub(super) drafts: Option<Drafts<P::Error>>,
    chunk: usize,
    chunk_max: usize,
}

impl<P: StepPrograms> Generator<P>
where
    P::Error: From<GenerateError>,
{
    /// `chunk` is the first guess for the tokens of one prefill run; at most `spec.chunk`.
    ///
    /// # Errors
    /// When the cache does not fit.
    pub fn new(executor: SharedExecutor, programs: P, spec: CacheSpec, chunk: usize) -> Result<Self, P::Error> {
        let cache = executor.lock().new_cache(&spec)?;
        let chunk_max = spec.chunk;
        let (context, chunk) = (Context::new(spec), chunk.clamp(1, chunk_max));
        Ok(Generator { executor, programs, cache, context, drafts: None, chunk, chunk_max })
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    pub fn cache(&self) -> CacheId {
        self.cache
    }

    /// For a chat's next turn: sets the position back, or forgets everything.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Tokens of a prefill run as the runs so far have set it.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    pub fn programs_mut(&mut self) -> &mut P {
        &mut self.programs
    }

    pub fn counters(&self) -> Counters {
        self.executor.lock().counters()
    }

    /// Feeds `ids` and generates up to `max_tokens`. `on_prefill` sees the tokens fed so far; `on_token` each new one that is no end. Both
    /// may break off. Afterwards the context holds the prompt and every token that was given, but perhaps not the last one, whose step may
    /// not have run.
    ///
    /// # Errors
    /// Those of the executor and of compiling the program.
    pub fn generate(
        &mut self,
        ids: &[TokenId],
        sampling: Sampling,
        max_tokens: usize,
        is_end: impl Fn(TokenId) -> bool,
        mut on_prefill: impl FnMut(usize) -> ControlFlow<()>,
        mut on_token: impl FnMut(TokenId) -> ControlFlow<()>,
    ) -> Result<(Finish, Timing), P::Error> {
        let mut timing = Timing { prefill_tokens: ids.len(), ..Timing::default() };
        let start = Instant::now();
        let Some(first) = self.prefill(ids, sampling, &mut on_prefill)? else {
            return Ok((Finish::Interrupted, timing));
        };
        if max_tokens == 0 {
            timing.prefill = start.elapsed();
            return Ok((Finish::Length, timing));
        }
        if let Some(mut drafts) = self.drafts.take() {
            let (wanted, clock) = ((sampling, max_tokens), (&mut timing, start));
            let finish = self.decode_with_drafts(&mut drafts, &first, wanted, is_end, &mut on_token, clock);
            self.drafts = Some(drafts);
            let finish = finish?;
            timing.decode = start.elapsed().saturating_sub(timing.prefill);
            return Ok((finish, timing));
        }
        // Position of the step that would feed the newest token in flight.
        let mut next_position = self.context.position();
        // Each with the position of the token behind whose logits it is drawn.
        let mut in_flight = VecDeque::from([(first, next_position - 1)]);
        // Steps that are best submitted at once, and those of the newest submit.
        let (mut a_submit, mut newest_submit) = (1, 1);
        let finish = loop {
            // While one submit is under way the next is made; steps behind an end are discarded.
            let wanted = max_tokens - timing.decode_tokens - in_flight.len();
            if in_flight.len() <= newest_submit && wanted > 0 {
                newest_submit = a_submit.min(wanted);
                for left in (0..newest_submit).rev() {
                    let Some((newest, _)) = in_flight.back().cloned() else { break };
                    in_flight.push_back((self.decode_step(newest, next_position, sampling, left > 0)?, next_position));
                    next_position += 1;
                }
            }
            let Some((oldest, position)) = in_flight.pop_front() else { break Finish::Length };
            let id = self.read_id(&oldest, position).inspect_err(|_| self.context.wrote_to(next_position))?;
            if timing.decode_tokens == 0 {
                timing.prefill = start.elapsed();
            }
            if is_end(id) {
                break Finish::Stop;
            }
            timing.decode_tokens += 1;
            // The step that fed this id has been submitted exactly when a later one is in flight.
            if next_position > self.context.position() {
                self.context.feed(&[id]);
            }
            if on_token(id).is_break() {
                break Finish::Interrupted;
            }
            if timing.decode_tokens >= max_tokens {
                break Finish::Length;
            }
            if timing.decode_tokens > STEADY_STEPS {
                let decode = start.elapsed().saturating_sub(timing.prefill);
                a_submit = self.executor.lock().runs_a_submit(decode / (timing.decode_tokens - 1) as u32);
            }
        };
        self.context.wrote_to(next_position);
        timing.decode = start.elapsed().saturating_sub(timing.prefill);
        Ok((finish, timing))
    }

    /// Feeds `ids` in chunks and returns the sampled id after the last one, or `None` when `on_chunk` broke off.
    fn prefill(
        &mut self,
        ids: &[TokenId],
        sampling: Sampling,
        on_chunk: &mut impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<DeviceTensor>, P::Error> {
        if ids.is_empty() {
            return Err(GenerateError::EmptyPrompt.into());
        }
        let mut fed = 0;
        loop {
            let n = self.next_run_len(ids.len() - fed)?;
            let chunk = &ids[fed..fed + n];
            let sampled = self.run_chunk(chunk, sampling)?;
            fed += n;
            if fed == ids.len() {
                return Ok(Some(sampled));
            }
            if on_chunk(fed).is_break() {
                return Ok(None);
            }
        }
    }

    /// Tokens of the next run when `left` are to be fed. Where a run is cut follows the clock, so nothing may depend on it.
    fn next_run_len(&mut self, left: usize) -> Result<usize, P::Error> {
        let n = run_len(left, self.chunk, self.chunk_max);
        if n == left {
            return Ok(n);
        }
        if self.programs.whole_prompts().is_none() {
            // What kind of program it is shows when its step is made.
            self.programs.step(n, self.context.position())?;
        }
        match self.programs.whole_prompts() {
            None => Ok(n),
            Some(_) if left <= self.chunk_max => Ok(left),
            Some(why) => Err(GenerateError::Uncut { len: left, max: self.chunk_max, why }.into()),
        }
    }

    /// One prefill run. Where more are to come it is waited for, so that a chunk's size can follow what chunks take.
    fn run_chunk(&mut self, chunk: &[TokenId], sampling: Sampling) -> Result<DeviceTensor, P::Error> {
        let position = self.context.position();
        let values: Vec<i32> = chunk.iter().map(|id| id.0 as i32).collect();
        let step = self.programs.step(chunk.len(), position)?;
        self.executor.lock().record_history(self.cache, position, &values)?;
        let start = Instant::now();
        let mut rows = values;
        rows.resize(step.rows, 0);
        let input = Binding::Host(Arc::new(HostTensor::i32([step.rows], rows)));
        let sampled = self.run(&step, input, position, chunk.len(), sampling, false)?;
        self.context.feed(chunk);
        if chunk.len() == self.chunk {
            self.executor.lock().finish()?;
            let took = start.elapsed();
            if took > CHUNK_TARGET * 2 {
                self.chunk = (self.chunk / 2).max(RUN_MIN.min(self.chunk));
            } else if took < CHUNK_TARGET / 4 {
                self.chunk = (self.chunk * 2).min(self.chunk_max);
            }
        }
        Ok(sampled)
    }

    /// The step that feeds `token`; `ahead` of another one.
    fn decode_step(&mut self, token: DeviceTensor, position: usize, sampling: Sampling, ahead: bool) -> Result<DeviceTensor, P::Error> {
        let step = self.programs.step(1, position)?;
        self.run(&step, Binding::Device(token), position, 1, sampling, ahead)
    }

    fn run(
        &mut self,
        step: &Compiled,
        tokens: Binding,
        position: usize,
        n_tokens: usize,
        sampling: Sampling,
        ahead: bool,
    ) -> Result<DeviceTensor, P::Error> {
        let args = step.args(tokens, CacheUse { cache: self.cache, position }, n_tokens, sampling);
        let mut executor = self.executor.lock();
        let mut outputs = if ahead { executor.run_ahead(step.program, &args)? } else { executor.run(step.program, &args)? };
        Ok(outputs.swap_remove(0))
    }

    /// The id that was drawn behind the token at `position`.
    pub(super) fn read_id(&self, tensor: &DeviceTensor, position: usize) -> Result<TokenId, P::Error> {
        let host = self.executor.lock().read(tensor)?;
        self.known_id(host.as_i32().and_then(|v| v.first()).copied().unwrap_or(NoChoice::Nan.id()), position)
    }

    /// What a run gave for the draw behind the token at `position`.
    pub(super) fn known_id(&self, id: i32, position: usize) -> Result<TokenId, P::Error> {
        match NoChoice::of_id(id) {
            Some(reason) => Err(GenerateError::NoChoice { reason, position, advice: self.advice() }.into()),
            None => Ok(TokenId(id as u32)),
        }
    }

    /// What to do about logits that are no numbers.
    fn advice(&self) -> &'static str {
        match self.context.spec().kv_type {
            KvType::F16 => {
                "the f16 cache holds no key or value above 65504: give `--kv f32`, or find the first step without numbers with `tl trace MODEL`"
            }
            KvType::F32 | KvType::Q8_0 => "find the first step without numbers with `tl trace MODEL`",
        }
    }
}

/// Tokens of the next run when `left` are to be fed: a chunk, or so many that what is then left is no short run.
pub(super) fn run_len(left: usize, chunk: usize, chunk_max: usize) -> usize {
    let rest = left.saturating_sub(chunk);
    if chunk < RUN_MIN || rest == 0 || rest >= RUN_MIN {
        left.min(chunk)
    } else if left >= 2 * RUN_MIN {
        left - RUN_MIN
    } else {
        left.min(chunk_max)
    }
}

impl<P: StepPrograms> Drop for Generator<P> {
    fn drop(&mut self) {
        self.executor.let_go([Unused::Cache(self.cache)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_run_is_short_where_the_prompt_is_not() {
        for chunk in [16, 17, 32, 100, 128, 512] {
            for len in 1..1200 {
                let mut left = len;
                while left > 0 {
                    let n = run_len(left, chunk, 512);
                    assert!(n <= 512 && n >= RUN_MIN.min(len), "{n} of {left} left of {len} in chunks of {chunk}");
                    left -= n;
                }
            }
        }
        assert_eq!((run_len(10, 3, 16), run_len(2, 3, 16)), (3, 2), "a caller's smaller chunk stands");
    }
}

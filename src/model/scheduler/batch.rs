//! The segments of a run, and its start.

use std::sync::Arc;
use std::time::Duration;

use crate::graph::{Binding, CacheUse, Compiled, ExecError, Segment};
use crate::tensor::HostTensor;

use super::super::generate::{GenerateError, RUN_MIN, StepPrograms, run_len};
use super::Scheduler;
use super::event::Flight;
use super::sequence::SequenceId;

/// A step that takes longer to get was compiled.
const COMPILED: Duration = Duration::from_millis(5);

/// A segment of the next run.
struct Planned {
    sequence: SequenceId,
    n_rows: usize,
}

/// What became of the next run.
pub(super) enum Start {
    Begun,
    /// No sequence has a row for one.
    Nothing,
    /// Its sequences are as they were; the executor's error.
    NoPages(ExecError),
}

impl<P: StepPrograms> Scheduler<P>
where
    P::Error: From<GenerateError>,
{
    /// The segments of the next run: those of one row first. Each sequence that waits for its next token has its row, whatever prompts are read.
    fn plan(&mut self) -> Vec<Planned> {
        let decoding = self.sequences.iter().filter(|(_, s)| s.decodes());
        let mut planned: Vec<Planned> = decoding.map(|(&sequence, _)| Planned { sequence, n_rows: 1 }).take(self.spec.chunk).collect();
        let n_decoding = planned.len();
        let mut room = self.spec.chunk - n_decoding;
        let mut left = self.pace.rows(n_decoding == 0).min(room);
        // The oldest prompt first, so that each is done as soon as it can be.
        for (&sequence, s) in self.sequences.iter().filter(|(_, s)| s.reads()) {
            let is_short = left < RUN_MIN.min(s.prompt_left());
            if left == 0 || is_short && planned.len() > n_decoding {
                break;
            }
            let n_rows = run_len(s.prompt_left(), left, room);
            (left, room) = (left.saturating_sub(n_rows), room - n_rows);
            planned.push(Planned { sequence, n_rows });
        }
        planned.sort_by_key(|segment| segment.n_rows > 1);
        planned
    }

    /// Starts a run.
    pub(super) fn start(&mut self) -> Result<Start, P::Error> {
        self.take_up()?;
        let planned = self.plan();
        if planned.is_empty() {
            return Ok(Start::Nothing);
        }
        let n_rows = planned.iter().map(|segment| segment.n_rows).sum();
        let before = self.clock.now(&self.counts);
        let step = self.programs.batch(n_rows, planned.len())?;
        if self.clock.now(&self.counts).saturating_sub(before) > COMPILED {
            // The runs under way ended meanwhile: how long they took is not known.
            self.in_flight.iter_mut().for_each(|flight| flight.n_prompt_rows = 0);
        }
        match step {
            Some(step) => {
                let tokens = Binding::Host(Arc::new(HostTensor::i32([0], Vec::new())));
                self.run(&step, tokens, &planned)
            }
            None => self.run_alone(planned),
        }
    }

    /// One sequence, where the program takes one a run: each in its turn.
    fn run_alone(&mut self, planned: Vec<Planned>) -> Result<Start, P::Error> {
        let after = planned.iter().position(|segment| Some(segment.sequence) > self.last_alone).unwrap_or(0);
        let Planned { sequence, mut n_rows } = planned.into_iter().nth(after).unwrap_or(Planned { sequence: SequenceId(0), n_rows: 0 });
        let Some(s) = self.sequences.get(&sequence) else { return Ok(Start::Nothing) };
        let (position, left, n_prompt) = (s.fed, s.prompt_left(), s.n_prompt);
        self.last_alone = Some(sequence);
        if n_rows < left {
            self.programs.step(n_rows, position)?;
        }
        if let Some(why) = self.programs.whole_prompts().filter(|_| left > 1) {
            // What was drawn behind a prompt is computed again as it was at first, token by token.
            n_rows = n_prompt.saturating_sub(position).max(1);
            if n_rows > self.spec.chunk {
                return Err(GenerateError::Uncut { len: n_rows, max: self.spec.chunk, why }.into());
            }
        }
        let step = self.programs.step(n_rows, position)?;
        let tokens = match self.sequences.get(&sequence).and_then(|s| s.newest.clone()) {
            Some(newest) if left == 0 => Binding::Device(newest),
            _ => {
                let mut ids = self.prompt(sequence, n_rows);
                ids.resize(step.rows, 0);
                Binding::Host(Arc::new(HostTensor::i32([step.rows], ids)))
            }
        };
        let start = self.run(&step, tokens, &[Planned { sequence, n_rows }])?;
        if let (Start::Begun, Some(flight), Some(s)) = (&start, self.in_flight.back(), self.sequences.get_mut(&sequence)) {
            s.newest = Some(flight.ids.clone());
        }
        Ok(start)
    }

    /// The next ids of a sequence's prompt.
    fn prompt(&self, sequence: SequenceId, n: usize) -> Vec<i32> {
        let Some(s) = self.sequences.get(&sequence) else { return Vec::new() };
        s.ids[..s.n_known].iter().skip(s.fed).take(n).copied().collect()
    }

    /// `tokens`: what the step's token input is bound to, where it has one.
    fn run(&mut self, step: &Compiled, tokens: Binding, planned: &[Planned]) -> Result<Start, P::Error> {
        let mut segments = Vec::with_capacity(planned.len());
        let began = self.clock.now(&self.counts);
        let mut executor = self.executor.lock();
        for &Planned { sequence, n_rows } in planned {
            let prompt = self.prompt(sequence, n_rows);
            let Some((s, cache)) = self.sequences.get(&sequence).and_then(|s| Some((s, s.cache?))) else { continue };
            if !prompt.is_empty() {
                executor.record_history(cache, s.fed, &prompt)?;
            }
            segments.push(Segment { caches: vec![CacheUse { cache, position: s.fed }], n_tokens: n_rows, sampling: s.sampling });
        }
        let args = step.args_of(tokens, segments);
        let mut outputs = match executor.run(step.program, &args) {
            Err(error @ ExecError::NoPages { .. }) => return Ok(Start::NoPages(error)),
            outputs => outputs?,
        };
        drop(executor);
        let mut rows = Vec::with_capacity(planned.len());
        let mut n_prompt_rows = 0;
        for &Planned { sequence, n_rows } in planned {
            let Some(s) = self.sequences.get_mut(&sequence) else { continue };
            n_prompt_rows += n_rows.min(s.prompt_left());
            s.fed += n_rows;
            let is_drawn = s.prompt_left() == 0 && s.n_drawn < s.max_tokens;
            s.n_drawn += usize::from(is_drawn);
            rows.push(is_drawn.then_some(sequence));
            self.keep_full_pages(sequence)?;
        }
        self.counts.runs += 1;
        self.counts.prompt_rows += n_prompt_rows as u64;
        self.counts.drawn_rows += (args.n_tokens() - n_prompt_rows) as u64;
        self.in_flight.push_back(Flight { ids: outputs.swap_remove(0), rows, n_prompt_rows, began });
        Ok(Start::Begun)
    }
}

//! The segments of a run, and its start.

use std::sync::Arc;

use crate::graph::{Binding, CacheUse, Compiled, Segment};
use crate::tensor::HostTensor;

use super::super::generate::{GenerateError, StepPrograms};
use super::Scheduler;
use super::event::Flight;
use super::sequence::SequenceId;

/// A segment of the next run.
struct Planned {
    sequence: SequenceId,
    n_rows: usize,
}

impl<P: StepPrograms> Scheduler<P>
where
    P::Error: From<GenerateError>,
{
    /// The segments of the next run: those of one row first.
    fn plan(&mut self) -> Vec<Planned> {
        let most = self.spec.chunk;
        let decoding = self.sequences.iter().filter(|(_, s)| s.decodes());
        let mut planned: Vec<Planned> = decoding.map(|(&sequence, _)| Planned { sequence, n_rows: 1 }).take(most).collect();
        let mut left = most - planned.len();
        // The oldest prompt first, so that each is done as soon as it can be.
        for (&sequence, s) in self.sequences.iter().filter(|(_, s)| s.prompt_left() > 0) {
            let n_rows = s.prompt_left().min(left);
            if n_rows == 0 {
                break;
            }
            left -= n_rows;
            planned.push(Planned { sequence, n_rows });
        }
        planned.sort_by_key(|segment| segment.n_rows > 1);
        planned
    }

    /// Starts a run; `false` where no sequence has a row for one.
    pub(super) fn start(&mut self) -> Result<bool, P::Error> {
        let planned = self.plan();
        if planned.is_empty() {
            return Ok(false);
        }
        let n_rows = planned.iter().map(|segment| segment.n_rows).sum();
        match self.programs.batch(n_rows, planned.len())? {
            Some(step) => {
                let tokens = Binding::Host(Arc::new(HostTensor::i32([0], Vec::new())));
                self.run(&step, tokens, &planned)?;
                Ok(true)
            }
            None => self.run_alone(planned),
        }
    }

    /// One sequence, where the program takes one a run: each in its turn.
    fn run_alone(&mut self, planned: Vec<Planned>) -> Result<bool, P::Error> {
        let after = planned.iter().position(|segment| Some(segment.sequence) > self.last_alone).unwrap_or(0);
        let Planned { sequence, mut n_rows } = planned.into_iter().nth(after).unwrap_or(Planned { sequence: SequenceId(0), n_rows: 0 });
        let Some(s) = self.sequences.get(&sequence) else { return Ok(false) };
        let (position, left) = (s.fed, s.prompt_left());
        self.last_alone = Some(sequence);
        if n_rows < left {
            self.programs.step(n_rows, position)?;
        }
        if let Some(why) = self.programs.whole_prompts().filter(|_| left > 1) {
            if left > self.spec.chunk {
                return Err(GenerateError::Uncut { len: left, max: self.spec.chunk, why }.into());
            }
            n_rows = left;
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
        self.run(&step, tokens, &[Planned { sequence, n_rows }])?;
        if let (Some(flight), Some(s)) = (self.in_flight.back(), self.sequences.get_mut(&sequence)) {
            s.newest = Some(flight.ids.clone());
        }
        Ok(true)
    }

    /// The next ids of a sequence's prompt.
    fn prompt(&self, sequence: SequenceId, n: usize) -> Vec<i32> {
        let Some(s) = self.sequences.get(&sequence) else { return Vec::new() };
        s.request.ids.iter().skip(s.fed).take(n).map(|id| id.0 as i32).collect()
    }

    /// `tokens`: what the step's token input is bound to, where it has one.
    fn run(&mut self, step: &Compiled, tokens: Binding, planned: &[Planned]) -> Result<(), P::Error> {
        let mut segments = Vec::with_capacity(planned.len());
        let mut executor = self.executor.lock();
        for &Planned { sequence, n_rows } in planned {
            let prompt = self.prompt(sequence, n_rows);
            let Some(s) = self.sequences.get(&sequence) else { continue };
            if !prompt.is_empty() {
                executor.record_history(s.cache, s.fed, &prompt)?;
            }
            let cache = CacheUse { cache: s.cache, position: s.fed };
            segments.push(Segment { caches: vec![cache], n_tokens: n_rows, sampling: s.request.sampling });
        }
        let args = step.args_of(tokens, segments);
        let mut outputs = executor.run(step.program, &args)?;
        drop(executor);
        let mut rows = Vec::with_capacity(planned.len());
        for &Planned { sequence, n_rows } in planned {
            let Some(s) = self.sequences.get_mut(&sequence) else { continue };
            s.fed += n_rows;
            let is_drawn = s.prompt_left() == 0 && s.n_drawn < s.request.max_tokens;
            s.n_drawn += usize::from(is_drawn);
            rows.push(is_drawn.then_some(sequence));
        }
        self.in_flight.push_back(Flight { ids: outputs.swap_remove(0), rows });
        Ok(())
    }
}

//! What a run brought.

use std::time::Duration;

use crate::graph::{DeviceTensor, NoChoice};
use crate::text::TokenId;

use super::super::generate::{Finish, GenerateError, StepPrograms};
use super::Scheduler;
use super::sequence::SequenceId;

/// What became of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Token {
        sequence: SequenceId,
        id: TokenId,
    },
    End {
        sequence: SequenceId,
        finish: Finish,
    },
    /// Its logits leave nothing to choose.
    Failed {
        sequence: SequenceId,
        reason: NoChoice,
    },
}

/// A run, and whose row each of its ids is.
pub(super) struct Flight {
    pub ids: DeviceTensor,
    pub rows: Vec<Option<SequenceId>>,
    /// Rows of prompts.
    pub n_prompt_rows: usize,
    pub began: Duration,
}

impl<P: StepPrograms> Scheduler<P>
where
    P::Error: From<GenerateError>,
{
    /// Sequences that want no token have ended once their prompt is fed.
    pub(super) fn end_those_without_draws(&mut self) -> Vec<Event> {
        let ended: Vec<SequenceId> =
            self.sequences.iter().filter(|(_, s)| s.prompt_left() == 0 && s.n_given >= s.max_tokens).map(|(&id, _)| id).collect();
        ended.into_iter().map(|sequence| self.end(sequence, Finish::Length)).collect()
    }

    /// Waits for a run and says what its ids mean.
    pub(super) fn finish(&mut self, flight: Flight) -> Result<Vec<Event>, P::Error> {
        let ids = self.executor.lock().read(&flight.ids)?;
        let now = self.clock.now(&self.counts);
        // A run waits for the one before it.
        self.pace.ran(flight.n_prompt_rows, now.saturating_sub(flight.began.max(self.last_end)));
        self.last_end = now;
        let ids = ids.as_i32().unwrap_or(&[]);
        let mut events = Vec::new();
        for (row, sequence) in flight.rows.iter().enumerate() {
            // A sequence that ended meanwhile has no use for its row.
            let Some((sequence, s)) = sequence.and_then(|id| Some((id, self.sequences.get_mut(&id)?))) else { continue };
            let id = ids.get(row).copied().unwrap_or(NoChoice::Nan.id());
            if let Some(reason) = NoChoice::of_id(id) {
                self.cancel(sequence);
                events.push(Event::Failed { sequence, reason });
                continue;
            }
            let token = TokenId(id as u32);
            if s.ends.contains(&token) {
                events.push(self.end(sequence, Finish::Stop));
                continue;
            }
            s.ids.push(id);
            s.n_given += 1;
            let is_last = s.n_given >= s.max_tokens;
            events.push(Event::Token { sequence, id: token });
            self.keep_full_pages(sequence)?;
            if is_last {
                events.push(self.end(sequence, Finish::Length));
            }
        }
        events.extend(self.end_those_without_draws());
        Ok(events)
    }

    fn end(&mut self, sequence: SequenceId, finish: Finish) -> Event {
        self.cancel(sequence);
        Event::End { sequence, finish }
    }
}

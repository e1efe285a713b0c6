//! Several sequences at a time: each run holds the next rows of all that have some, whoever wants tokens asks for the next run.
//!
//! Rows that follow a drawn token come first, then parts of prompts. Where a sequence's next token is not known yet its id is read on the device from
//! the sequence's history, so that one run is made while another is under way. Source: Kwon et al., arXiv:2309.06180 (pages, and runs of rows).

mod batch;
mod event;
mod sequence;

use std::collections::{BTreeMap, VecDeque};

use crate::graph::{CacheId, CacheSpec, Counters, SharedExecutor, Unused};

use super::generate::{GenerateError, StepPrograms};

pub use event::Event;
pub use sequence::{Request, SequenceId};

use event::Flight;
use sequence::Sequence;

/// Runs that are under way at a time: one is made while another one computes.
const IN_FLIGHT: usize = 2;

/// Sequences of one model, in one memory.
pub struct Scheduler<P: StepPrograms> {
    executor: SharedExecutor,
    programs: P,
    spec: CacheSpec,
    /// An empty sequence, with which the memory stays.
    anchor: CacheId,
    sequences: BTreeMap<SequenceId, Sequence>,
    next_id: u64,
    in_flight: VecDeque<Flight>,
    /// Whose turn it is where a run holds one sequence.
    last_alone: Option<SequenceId>,
}

impl<P: StepPrograms> Scheduler<P>
where
    P::Error: From<GenerateError>,
{
    /// `spec.sequences`: the most sequences at a time, one of which keeps the memory and holds nothing; `spec.chunk`: the most rows of a run.
    ///
    /// # Errors
    /// When the cache does not fit, or has room for one sequence alone.
    pub fn new(executor: SharedExecutor, programs: P, spec: CacheSpec) -> Result<Self, P::Error> {
        let anchor = executor.lock().new_cache(&spec)?;
        Ok(Scheduler {
            executor,
            programs,
            spec,
            anchor,
            sequences: BTreeMap::new(),
            next_id: 0,
            in_flight: VecDeque::new(),
            last_alone: None,
        })
    }

    /// Takes up a sequence; its first rows are in one of the next runs.
    ///
    /// # Errors
    /// When its prompt is empty, or there are as many sequences as the memory has room for.
    pub fn add(&mut self, request: Request) -> Result<SequenceId, P::Error> {
        self.check(&request)?;
        let cache = self.executor.lock().add_cache(self.anchor)?;
        Ok(self.insert(Sequence { cache, request, fed: 0, n_drawn: 0, n_given: 0, newest: None }))
    }

    /// Takes up a sequence that begins with the first `position` tokens of another one's prompt, which that one has been fed: these are not computed
    /// again.
    ///
    /// # Errors
    /// As `add`.
    pub fn fork(&mut self, of: SequenceId, position: usize, request: Request) -> Result<SequenceId, P::Error> {
        self.check(&request)?;
        let Some(origin) = self.sequences.get(&of) else { return self.add(request) };
        let agrees = origin.request.ids.iter().zip(&request.ids).take_while(|(a, b)| a == b).count();
        // The last token of a prompt is fed by each sequence itself: behind it stands the first draw.
        let position = position.min(origin.fed).min(agrees).min(request.ids.len().saturating_sub(1));
        if position == 0 || !self.spec.can_go_back(origin.fed, position) {
            return self.add(request);
        }
        let cache = self.executor.lock().fork_cache(origin.cache, position)?;
        Ok(self.insert(Sequence { cache, request, fed: position, n_drawn: 0, n_given: 0, newest: None }))
    }

    fn check(&self, request: &Request) -> Result<(), GenerateError> {
        if request.ids.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        // The anchor has a place of its own.
        let most = self.spec.sequences - 1;
        if self.sequences.len() >= most { Err(GenerateError::Full { most }) } else { Ok(()) }
    }

    fn insert(&mut self, sequence: Sequence) -> SequenceId {
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.sequences.insert(id, sequence);
        id
    }

    /// Ends a sequence; what it was still to give is discarded.
    pub fn cancel(&mut self, sequence: SequenceId) {
        if let Some(sequence) = self.sequences.remove(&sequence) {
            self.executor.let_go([Unused::Cache(sequence.cache)]);
        }
    }

    /// Sequences that have not ended.
    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Tokens of a sequence's prompt that no run has been given yet.
    pub fn prompt_left(&self, sequence: SequenceId) -> usize {
        self.sequences.get(&sequence).map_or(0, Sequence::prompt_left)
    }

    pub fn counters(&self) -> Counters {
        self.executor.lock().counters()
    }

    /// Starts the next run where one can be made, and gives what an earlier one brought: it waits for that one while two are under way, or where
    /// none can be made. Nothing is given where no sequence is left.
    ///
    /// # Errors
    /// Those of the executor and of compiling the program. The sequences of the run that failed are as they were before it.
    pub fn step(&mut self) -> Result<Vec<Event>, P::Error> {
        let has_started = self.in_flight.len() < IN_FLIGHT && self.start()?;
        if has_started && self.in_flight.len() < IN_FLIGHT {
            return Ok(Vec::new());
        }
        match self.in_flight.pop_front() {
            Some(flight) => self.finish(flight),
            None => Ok(self.end_those_without_draws()),
        }
    }
}

impl<P: StepPrograms> Drop for Scheduler<P> {
    fn drop(&mut self) {
        let caches = self.sequences.values().map(|s| s.cache).chain([self.anchor]);
        self.executor.let_go(caches.map(Unused::Cache));
    }
}

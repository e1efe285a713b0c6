//! Several sequences at a time: each run holds the next rows of all that have some, whoever wants tokens asks for the next run.
//!
//! Rows that follow a drawn token come first, then parts of prompts. Where a sequence's next token is not known yet its id is read on the device from
//! the sequence's history, so that one run is made while another is under way. A sequence for which no page is left waits and is computed again later.
//! Source: Kwon et al., arXiv:2309.06180 (pages, and runs of rows).

mod batch;
mod event;
mod options;
mod pace;
mod queue;
mod sequence;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::graph::{CacheId, CacheSpec, Counters, SharedExecutor, Unused};

use super::generate::{GenerateError, StepPrograms};

pub use event::Event;
pub use options::{SchedulerCounts, SchedulerOptions};
pub use sequence::{Request, SequenceId};

use batch::Start;
use event::Flight;
use options::Clock;
use pace::Pace;
use sequence::Sequence;

/// Runs that are under way at a time: one is made while another one computes.
const IN_FLIGHT: usize = 2;

/// Sequences of one model, in one memory.
pub struct Scheduler<P: StepPrograms> {
    executor: SharedExecutor,
    programs: P,
    spec: CacheSpec,
    options: SchedulerOptions,
    /// An empty sequence, with which the memory stays.
    anchor: CacheId,
    sequences: BTreeMap<SequenceId, Sequence>,
    next_id: u64,
    in_flight: VecDeque<Flight>,
    most_in_flight: usize,
    /// Whose turn it is where a run holds one sequence.
    last_alone: Option<SequenceId>,
    pace: Pace,
    clock: Clock,
    /// When the last run ended.
    last_end: Duration,
    counts: SchedulerCounts,
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
        let (anchor, ends_at_once) = {
            let mut executor = executor.lock();
            (executor.new_cache(&spec)?, executor.ends_runs_at_once())
        };
        let options = SchedulerOptions::default();
        Ok(Scheduler {
            executor,
            programs,
            spec,
            options,
            anchor,
            sequences: BTreeMap::new(),
            next_id: 0,
            in_flight: VecDeque::new(),
            most_in_flight: if ends_at_once { 1 } else { IN_FLIGHT },
            last_alone: None,
            pace: Pace::new(options.run_target, spec.chunk),
            clock: Clock::of_the_system(),
            last_end: Duration::ZERO,
            counts: SchedulerCounts::default(),
        })
    }

    /// Goes on with other options.
    pub fn set_options(&mut self, options: SchedulerOptions) {
        self.options = options;
        self.pace = Pace::new(options.run_target, self.spec.chunk);
    }

    /// Takes the time from `clock` from now on: how long it has been since some instant. For tests, whose runs then have the same rows each time:
    /// theirs may tell it from what has been done so far.
    pub fn set_clock(&mut self, clock: impl FnMut(&SchedulerCounts) -> Duration + Send + 'static) {
        self.clock = Clock::new(clock);
        self.last_end = Duration::ZERO;
    }

    /// Takes up a sequence; its first rows are in one of the next runs.
    ///
    /// # Errors
    /// When its prompt is empty, there are as many sequences as the memory has room for, or the program takes a prompt whole and this one is longer
    /// than a run.
    pub fn add(&mut self, request: Request) -> Result<SequenceId, P::Error> {
        self.check(&request)?;
        Ok(self.insert(Sequence::new(request)))
    }

    /// Takes up a sequence that begins with the first `position` tokens of another one, which that one has been fed: these are not computed again.
    ///
    /// # Errors
    /// As `add`.
    pub fn fork(&mut self, of: SequenceId, position: usize, request: Request) -> Result<SequenceId, P::Error> {
        self.check(&request)?;
        let mut fork = Sequence::new(request);
        let Some(origin) = self.sequences.get(&of) else { return Ok(self.insert(fork)) };
        let agrees = origin.ids.iter().zip(&fork.ids).take_while(|(a, b)| a == b).count();
        // The last token of a prompt is fed by each sequence itself: behind it stands the first draw.
        let position = position.min(origin.fed).min(agrees).min(fork.ids.len().saturating_sub(1));
        if let Some(cache) = origin.cache.filter(|_| position > 0 && self.spec.can_go_back(origin.fed, position)) {
            (fork.cache, fork.fed) = (Some(self.executor.lock().fork_cache(cache, position)?), position);
        }
        Ok(self.insert(fork))
    }

    fn check(&mut self, request: &Request) -> Result<(), P::Error> {
        if request.ids.is_empty() {
            return Err(GenerateError::EmptyPrompt.into());
        }
        // The anchor has a place of its own.
        let most = self.spec.sequences - 1;
        if self.sequences.len() >= most {
            return Err(GenerateError::Full { most }.into());
        }
        let (len, max) = (request.ids.len(), self.spec.chunk);
        if len > max && self.programs.whole_prompts().is_none() && self.programs.batch(max, 1)?.is_none() {
            // What kind of program it is shows when its step is made.
            self.programs.step(max, 0)?;
        }
        match self.programs.whole_prompts() {
            Some(why) if len > max => Err(GenerateError::Uncut { len, max, why }.into()),
            _ => Ok(()),
        }
    }

    fn insert(&mut self, sequence: Sequence) -> SequenceId {
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.sequences.insert(id, sequence);
        id
    }

    /// Ends a sequence; what it was still to give is discarded.
    pub fn cancel(&mut self, sequence: SequenceId) {
        let cache = self.sequences.remove(&sequence).and_then(|sequence| sequence.cache);
        self.executor.let_go(cache.map(Unused::Cache));
    }

    /// Sequences that have not ended.
    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Tokens of a sequence's prompt that no run has been given yet; those too that must be computed again.
    pub fn prompt_left(&self, sequence: SequenceId) -> usize {
        self.sequences.get(&sequence).map_or(0, Sequence::prompt_left)
    }

    /// Tokens of a sequence that were found computed when it was taken up.
    pub fn reused(&self, sequence: SequenceId) -> usize {
        self.sequences.get(&sequence).map_or(0, |s| s.n_reused)
    }

    pub fn counters(&self) -> Counters {
        self.executor.lock().counters()
    }

    pub fn counts(&self) -> SchedulerCounts {
        self.counts
    }

    /// Pages of the memory that no sequence holds; those that are kept for later ones are among them.
    ///
    /// # Errors
    /// Those of the executor.
    pub fn free_pages(&self) -> Result<usize, P::Error> {
        Ok(self.executor.lock().free_pages(self.anchor)?)
    }

    /// Starts the next run, where some sequence has rows for one, and gives the events of an earlier run. It waits for that earlier run only while as
    /// many are under way as the executor makes use of, or where no further run can be started. Without a sequence it gives nothing.
    ///
    /// # Errors
    /// Those of the executor and of compiling the program. The sequences of the run that failed are as they were before it.
    pub fn step(&mut self) -> Result<Vec<Event>, P::Error> {
        while self.in_flight.len() < self.most_in_flight {
            match self.start()? {
                Start::Begun if self.in_flight.len() < self.most_in_flight => return Ok(Vec::new()),
                // Runs that are under way may end sequences, and bring the tokens with which one is computed again.
                Start::NoPages(error) if self.in_flight.is_empty() => self.put_back_youngest(error)?,
                Start::Begun | Start::Nothing | Start::NoPages(_) => break,
            }
        }
        match self.in_flight.pop_front() {
            Some(flight) => self.finish(flight),
            None => Ok(self.end_those_without_draws()),
        }
    }
}

impl<P: StepPrograms> Drop for Scheduler<P> {
    fn drop(&mut self) {
        let caches = self.sequences.values().filter_map(|s| s.cache).chain([self.anchor]);
        self.executor.let_go(caches.map(Unused::Cache));
    }
}

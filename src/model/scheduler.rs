//! Several sequences at a time: each run holds the next rows of all that have some, whoever wants tokens asks for the next run.
//!
//! Rows that follow a drawn token come first, then parts of prompts. Where a sequence's next token is not known yet its id is read on the device from
//! the sequence's history, so that one run is made while another is under way. Source: Kwon et al., arXiv:2309.06180 (pages, and runs of rows).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::graph::{
    Binding, CacheId, CacheSpec, CacheUse, Compiled, Counters, DeviceTensor, NoChoice, Sampling, Segment, SharedExecutor, Unused,
};
use crate::tensor::HostTensor;
use crate::text::TokenId;

use super::generate::{Finish, GenerateError, StepPrograms};

/// A sequence of one scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(u64);

/// What a sequence begins with, and how it goes on.
#[derive(Clone, Debug)]
pub struct Request {
    pub ids: Vec<TokenId>,
    pub sampling: Sampling,
    pub max_tokens: usize,
    /// Tokens that end the sequence.
    pub ends: Vec<TokenId>,
}

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

struct Sequence {
    cache: CacheId,
    request: Request,
    /// Positions that the runs so far have fed: those of the prompt, then one for each token drawn.
    fed: usize,
    n_drawn: usize,
    n_given: usize,
    /// The id drawn last, where runs hold one sequence.
    newest: Option<DeviceTensor>,
}

impl Sequence {
    fn prompt_left(&self) -> usize {
        self.request.ids.len().saturating_sub(self.fed)
    }

    /// Whether another token is wanted whose row can be made now.
    fn decodes(&self) -> bool {
        self.prompt_left() == 0 && self.n_drawn < self.request.max_tokens
    }
}

/// A run, and whose row each of its ids is.
struct Flight {
    ids: DeviceTensor,
    rows: Vec<Option<SequenceId>>,
}

/// A segment of the next run.
struct Planned {
    sequence: SequenceId,
    n_rows: usize,
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

    /// Sequences that want no token have ended once their prompt is fed.
    fn end_those_without_draws(&mut self) -> Vec<Event> {
        let ended: Vec<SequenceId> =
            self.sequences.iter().filter(|(_, s)| s.prompt_left() == 0 && s.n_given >= s.request.max_tokens).map(|(&id, _)| id).collect();
        ended.into_iter().map(|sequence| self.end(sequence, Finish::Length)).collect()
    }

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
    fn start(&mut self) -> Result<bool, P::Error> {
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

    /// Waits for a run and says what its ids mean.
    fn finish(&mut self, flight: Flight) -> Result<Vec<Event>, P::Error> {
        let ids = self.executor.lock().read(&flight.ids)?;
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
            let id = TokenId(id as u32);
            if s.request.ends.contains(&id) {
                events.push(self.end(sequence, Finish::Stop));
                continue;
            }
            s.n_given += 1;
            let is_last = s.n_given >= s.request.max_tokens;
            events.push(Event::Token { sequence, id });
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

impl<P: StepPrograms> Drop for Scheduler<P> {
    fn drop(&mut self) {
        let caches = self.sequences.values().map(|s| s.cache).chain([self.anchor]);
        self.executor.let_go(caches.map(Unused::Cache));
    }
}

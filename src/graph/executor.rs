//! The interface of a backend: compile a graph once, run it many times, keep tensors and caches on the device.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;

use crate::tensor::{DType, HostTensor, Shape};

use super::cache::CacheSpec;
use super::node::{Graph, NodeId, Origin};
use super::scalar::{Literal, Sampling};

/// A compiled graph on one executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(pub u32);

/// A key-value cache on one executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheId(pub u32);

/// Ids of tensors whose last handle is gone; the executor empties it.
#[derive(Clone, Debug, Default)]
pub struct Released(Arc<Mutex<Vec<u64>>>);

impl Released {
    /// The ids since the last call.
    pub fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// A tensor on a device, by reference count: when the last handle goes, its buffer returns to the executor's pool.
#[derive(Clone, Debug)]
pub struct DeviceTensor {
    pub shape: Shape,
    pub dtype: DType,
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    id: u64,
    released: Released,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.released.0.lock().push(self.id);
    }
}

impl DeviceTensor {
    /// For executors: a handle to tensor `id`, which is pushed to `released` when the last clone is dropped.
    pub fn new(id: u64, shape: Shape, dtype: DType, released: &Released) -> Self {
        DeviceTensor { shape, dtype, handle: Arc::new(Handle { id, released: released.clone() }) }
    }

    pub fn id(&self) -> u64 {
        self.handle.id
    }

    /// The same elements under another shape of equal size.
    pub fn reshaped(&self, shape: Shape) -> Self {
        debug_assert_eq!(self.shape.len(), shape.len());
        DeviceTensor { shape, ..self.clone() }
    }
}

/// What an input is bound to in a run.
#[derive(Clone, Debug)]
pub enum Binding {
    Host(Arc<HostTensor>),
    Device(DeviceTensor),
}

/// A cache of a run and where its first token goes.
#[derive(Clone, Copy, Debug)]
pub struct CacheUse {
    pub cache: CacheId,
    pub position: usize,
}

/// Contiguous rows of one sequence in one run.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// The sequence's caches and where its first row goes in each, by `CacheIdx`.
    pub caches: Vec<CacheUse>,
    /// Rows, each a token. Without a token input: 0.
    pub n_tokens: usize,
    pub sampling: Sampling,
}

/// Everything that changes from run to run of one program.
#[derive(Clone, Debug)]
pub struct RunArgs {
    /// By `InputId`. A binding may have fewer rows than a token bucket; the rest of the bucket is undefined.
    pub inputs: Vec<Binding>,
    /// By `ScalarSource::Literal::index` of the compacted graph (`Graph::subgraph`). Empty: those of the graph that was compiled first under this
    /// program's key, which is right only for a caller that never changes a literal. A model's runs take theirs from `Compiled`.
    pub literals: Vec<Literal>,
    /// One or more, whose rows follow one another; all but the first need a program for several sequences (`Op::LastRows`). Those of one row come
    /// first. Several segments may be of one sequence: each begins at the position where the
    /// one before it ends, attends to the keys that those before it write, and draws an id of its own.
    pub segments: Vec<Segment>,
}

impl Default for RunArgs {
    /// A run of one segment without tokens.
    fn default() -> Self {
        RunArgs { inputs: Vec::new(), literals: Vec::new(), segments: vec![Segment::default()] }
    }
}

impl RunArgs {
    /// A run of one segment.
    pub fn of(inputs: Vec<Binding>, segment: Segment) -> Self {
        RunArgs { inputs, segments: vec![segment], ..RunArgs::default() }
    }

    /// The rows of all segments; at most the token bucket.
    pub fn n_tokens(&self) -> usize {
        self.segments.iter().map(|segment| segment.n_tokens).sum()
    }

    /// The caches of the first segment.
    pub fn caches(&self) -> &[CacheUse] {
        self.segments.first().map_or(&[], |segment| &segment.caches)
    }

    /// What is wrong with the positions of sequences that have several segments. `specs`: those of the caches, by `CacheIdx`.
    pub fn fault_of_positions(&self, specs: &[CacheSpec]) -> Option<String> {
        let mut written: HashMap<CacheId, Range<usize>> = HashMap::new();
        for segment in self.segments.iter().filter(|_| self.segments.len() > 1) {
            for (used, spec) in segment.caches.iter().zip(specs) {
                let CacheUse { cache, position } = *used;
                let range = written.entry(cache).or_insert(position..position);
                if range.end != position {
                    return Some(format!(
                        "two segments of a run are of cache {}, and one begins at position {position}, not {}: give a sequence one, or let each \
                         follow the one before",
                        cache.0, range.end
                    ));
                }
                range.end += segment.n_tokens;
                if range.len() > spec.chunk {
                    let (n, most) = (range.len(), spec.chunk);
                    return Some(format!("the segments of cache {} have {n} tokens, more than the {most} of one run", cache.0));
                }
            }
        }
        None
    }

    /// By row: its segment, and its place there.
    pub fn rows(&self) -> impl Iterator<Item = (usize, usize)> {
        self.segments.iter().enumerate().flat_map(|(i, segment)| (0..segment.n_tokens).map(move |t| (i, t)))
    }
}

/// How a graph is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CompileOptions {
    /// Off: every node is a step of its own, so that each value can be seen.
    pub fuse: bool,
    /// The specifications of the graph's caches, by `CacheIdx`.
    pub caches: Vec<CacheSpec>,
}

/// A failure of a backend.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExecError {
    /// The device has not enough memory. `what` names the buffer, `hint` the flag that lowers its size.
    #[error("out of device memory: {mb} MB for {what}; {hint}")]
    OutOfMemory { mb: usize, what: String, hint: String },
    /// A run writes positions for which no page is left: its sequences are as they were before it.
    #[error("all {n_pages} pages of the key-value cache are in use: end a sequence first")]
    NoPages { n_pages: usize },
    #[error("the device was lost: {0}")]
    DeviceLost(String),
    /// A value in a weight that no model can hold.
    #[error("{0}")]
    BadWeight(String),
    /// The backend cannot run an op or a shape.
    #[error("{message}")]
    Unsupported { message: String, origin: Origin },
    /// A program of a token bucket would need to know which rows are true: compile it for the exact number (`Graph::take_tokens_as_exact`).
    #[error("{message}")]
    MixesTokens { message: String, origin: Origin },
    /// An error of the device at a step of the program.
    #[error("{message}")]
    Device { message: String, origin: Origin },
    #[error("cannot read a weight: {0}")]
    Io(String),
    /// The flag of [`Executor::watch_interrupt`] was set: the run's results are lost.
    #[error("interrupted")]
    Interrupted,
}

/// What an executor has made and done since it started; a warm step changes only `dispatches`, `submits` and `steps`, and `command_buffers`
/// where it is the first to repeat a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub programs: u64,
    pub buffers: u64,
    pub pipelines: u64,
    pub bind_groups: u64,
    /// Recorded for repeated runs.
    pub command_buffers: u64,
    pub dispatches: u64,
    pub submits: u64,
    pub steps: u64,
    /// Bytes allocated on the device now, and the most there ever were.
    pub device_bytes: u64,
    pub peak_device_bytes: u64,
}

/// How long the steps of one run took.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTimes {
    /// How they were timed: `timestamps in one pass`, `one pass a kernel`, `the host's clock`.
    pub timed_by: String,
    /// By the plan's steps, in their order: their names, and the time of all their dispatches together.
    pub steps: Vec<(String, Duration)>,
}

/// Bytes that a device's memory moves in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// By a loop that reads alone, as a decode step nearly does.
    pub read: f64,
    /// By a loop that writes each vector that it reads, both counted, as STREAM's copy counts them.
    pub copy: f64,
}

/// How long a device computed in some runs, and how long it waited between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceTime {
    /// Passes, each a run or a part of a long one.
    pub n_passes: usize,
    pub busy: Duration,
    pub idle: Duration,
}

/// What tuning found for one kind of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// Weight type, rows, columns and what follows: `q4_0 2048x5632 store`.
    pub work: String,
    /// The time of all its dispatches in one run, as they were and as they are now.
    pub before: Duration,
    pub after: Duration,
    /// The shape that is kept; `None` where the default was best.
    pub shape: Option<String>,
}

/// What tuning found, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TuneReport {
    pub works: Vec<Tuned>,
    /// The file that keeps it for later starts, or why there is none.
    pub kept: Result<String, String>,
}

/// A backend. It may move to another thread between calls.
pub trait Executor: Send {
    /// One line: `vulkan: NVIDIA H200`, `cpu: 2 threads, AVX-512 VNNI`.
    fn describe(&self) -> String;

    /// Prepares a graph: plan, weights placed and uploaded, pipelines. A graph with an equal key and equal options is prepared once.
    fn compile(&mut self, graph: &Graph, outputs: &[NodeId], options: &CompileOptions) -> Result<ProgramId, ExecError>;

    /// Says that one caller of `compile` will not run the program again. A program that nobody uses any more is kept for an equal graph until
    /// there are many of them.
    fn release(&mut self, program: ProgramId) {
        let _ = program;
    }

    /// Frees what belongs to models that are gone ([`crate::graph::Weight::retire`]): their weights, and all programs that read one.
    fn free_retired(&mut self) {}

    /// From now on a run ends early, with [`ExecError::Interrupted`], while `flag` is set. A backend that cannot stop a run finishes it.
    fn watch_interrupt(&mut self, flag: &Arc<AtomicBool>) {
        let _ = flag;
    }

    /// Starts a run and returns handles to its outputs without waiting for it.
    fn run(&mut self, program: ProgramId, args: &RunArgs) -> Result<Vec<DeviceTensor>, ExecError>;

    /// Starts a run as `run` does, and lets it wait for one that follows at once; it begins at the latest when something is read.
    fn run_ahead(&mut self, program: ProgramId, args: &RunArgs) -> Result<Vec<DeviceTensor>, ExecError> {
        self.run(program, args)
    }

    /// How many runs of this length are best given to the device at once.
    fn runs_a_submit(&self, run: Duration) -> usize {
        let _ = run;
        1
    }

    /// Whether runs compute the rows of a bucket that no token fills, so that a step is better made for its exact number of tokens.
    fn computes_padding(&self) -> bool {
        false
    }

    fn upload(&mut self, tensor: &HostTensor) -> Result<DeviceTensor, ExecError>;

    /// Waits for the tensor and copies it to the host. While later runs are in flight, waits for this one's submit alone.
    fn read(&mut self, tensor: &DeviceTensor) -> Result<HostTensor, ExecError>;

    /// Waits for everything submitted.
    fn finish(&mut self) -> Result<(), ExecError>;

    /// Memory of this shape, and a first sequence in it with the specification's window and sinks.
    fn new_cache(&mut self, spec: &CacheSpec) -> Result<CacheId, ExecError>;

    /// A further sequence in the memory of another one, empty, with its window and sinks.
    ///
    /// # Errors
    /// When the memory has no room for a sequence more (`CacheSpec::sequences`), and where the backend keeps one sequence a memory.
    fn add_cache(&mut self, beside: CacheId) -> Result<CacheId, ExecError> {
        let _ = beside;
        Err(one_sequence())
    }

    /// Forks a sequence: the new one holds the same positions before `position`. Both share pages; a page is copied before one of them writes into it.
    ///
    /// # Errors
    /// As `add_cache`.
    fn fork_cache(&mut self, of: CacheId, position: usize) -> Result<CacheId, ExecError> {
        let _ = (of, position);
        Err(one_sequence())
    }

    /// Keeps the full pages of a sequence whose first tokens are `ids` also when it has ended, while nobody wants their place: a later sequence of the
    /// memory that begins with the same tokens finds them by `reuse_pages`. The runs so far have written these positions. A backend without pages
    /// keeps nothing.
    ///
    /// # Errors
    /// For a sequence that was freed.
    fn keep_pages(&mut self, cache: CacheId, ids: &[i32]) -> Result<(), ExecError> {
        let _ = (cache, ids);
        Ok(())
    }

    /// Gives an empty sequence the pages that were kept of one that begins with `ids`, and records their ids in its history. Returns how many of its
    /// first positions it holds now, fewer than there are `ids`: the sequence goes on from there.
    ///
    /// # Errors
    /// For a sequence that was freed.
    fn reuse_pages(&mut self, cache: CacheId, ids: &[i32]) -> Result<usize, ExecError> {
        let _ = (cache, ids);
        Ok(0)
    }

    /// Pages that no sequence in the memory of this one holds; `usize::MAX` where the backend counts none.
    ///
    /// # Errors
    /// For a sequence that was freed.
    fn free_pages(&self, beside: CacheId) -> Result<usize, ExecError> {
        let _ = beside;
        Ok(usize::MAX)
    }

    /// Whether a run has ended when `run` returns, so that nothing is won by a second one under way.
    fn ends_runs_at_once(&self) -> bool {
        false
    }

    /// Ends a sequence; the last one of a memory frees it.
    fn free_cache(&mut self, cache: CacheId);

    /// Records the ids of tokens at `position…` in the cache's history, which the repeat penalty reads (`Op::Sample`).
    fn record_history(&mut self, cache: CacheId, position: usize, ids: &[i32]) -> Result<(), ExecError>;

    fn counters(&self) -> Counters;

    /// Does what `run` does, waits for it, and says how long each step took; `None` where the backend cannot tell. The run as a whole may
    /// be slower than others.
    fn run_timed(&mut self, program: ProgramId, args: &RunArgs) -> Result<Option<StepTimes>, ExecError> {
        let _ = (program, args);
        Ok(None)
    }

    /// From now on notes when runs begin and end on the device; `false` where it has no clock.
    fn watch_runs(&mut self) -> bool {
        false
    }

    /// Waits for the runs since `watch_runs`, and says how long the device computed and waited; `None` where they were not watched.
    fn watched_runs(&mut self) -> Result<Option<DeviceTime>, ExecError> {
        Ok(None)
    }

    /// Runs the program `times` times straight from what is recorded for it, each run one position further: nothing is looked up or bound anew.
    /// Each run's first output is read, with so many runs a submit and two submits under way. `begin` is called when all is prepared. `false`
    /// where the backend records nothing, or not for such a program.
    fn replay(
        &mut self,
        program: ProgramId,
        args: &RunArgs,
        times: usize,
        runs_a_submit: usize,
        begin: &mut dyn FnMut(),
    ) -> Result<bool, ExecError> {
        let _ = (program, args, times, runs_a_submit, begin);
        Ok(false)
    }

    /// Measures shapes of the program's kernels on this device and keeps the best, for this program at once and for later starts; `None`
    /// where the backend has nothing to choose or cannot time it. `on_progress` hears how many of how many shapes are done.
    fn tune(
        &mut self,
        program: ProgramId,
        args: &RunArgs,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<TuneReport>, ExecError> {
        let _ = (program, args, on_progress);
        Ok(None)
    }

    /// Names and assembled sources of the kernels that were compiled so far, where the backend compiles any; WGSL.
    fn kernel_sources(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// What plain loops move on this device in memory that no cache holds; `None` where the backend has no such loops.
    fn bandwidth(&mut self) -> Result<Option<Bandwidth>, ExecError> {
        Ok(None)
    }
}

fn one_sequence() -> ExecError {
    ExecError::Unsupported { message: "this backend keeps one sequence in a key-value cache".to_owned(), origin: Origin::default() }
}

//! From a plan's steps to dispatches: which kernel, which buffers, which numbers, which grid. Pure: no device.

mod attention;
mod block;
mod elementwise;
mod experts;
mod general;
mod linear;
mod long;
mod neural;
mod sample;
mod tiles;

pub use attention::N_ARRIVALS;
pub use block::{BlockLayout, DRAW_WORDS, SEGMENT_WORDS};
pub use linear::{MATVEC_ROWS, matvec_work, rope_table_len};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assemble::Source;
use super::cache::CacheLayout;
use super::caps::Caps;
use super::contract;
use super::tuning::Tuning;
use super::weights::Placed;
use crate::graph::{CacheIdx, CacheSpec, ExecError, Origin};
use crate::plan::{Buf, Kernel, PlacedId, Plan, Rows, ScalarRef, Step};
use crate::tensor::DType;

/// Words of a run's block in all.
pub const RUN_WORDS: usize = 4096;

/// Rounds that all loops of a kernel may take together: software adapters end them at 65,535 and go on with what they have.
pub const MOST_ROUNDS: usize = 60_000;

/// One dispatch of a recording.
pub struct Dispatch {
    /// Index of the plan's step that it belongs to.
    pub step_idx: usize,
    pub source: Source,
    /// What the kernel is given, by the names in its WGSL.
    pub arguments: Arguments,
    pub grid: Grid,
    /// Multiply-adds for each row, by which long work is cut into submits.
    pub work: Work,
}

/// The step's numbers and the buffers of a kernel.
pub type Arguments = contract::Arguments<Operand>;

/// A buffer that a kernel binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    Buf(Buf),
    /// The entries of a cache's pages.
    Pages(CacheIdx),
    /// Quants and scales of one piece of a placed weight.
    Quants(PlacedId, usize),
    Scales(PlacedId, usize),
    Keys(CacheIdx, usize),
    Values(CacheIdx, usize),
    History(CacheIdx),
    /// By index in the lowering's scratch list.
    Scratch(usize),
    /// Counters that are 0 between dispatches.
    Arrivals,
}

/// Estimated multiply-adds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    pub each_row: f64,
    pub rows: Option<Rows>,
}

/// What a grid may depend on in a run.
pub struct RunShape {
    pub n_tokens: usize,
    /// The segments of one row that come first.
    pub n_single: usize,
    pub segments: Vec<SegmentShape>,
}

/// A segment of a run.
pub struct SegmentShape {
    pub first_row: usize,
    pub n_rows: usize,
    /// By `CacheIdx`, with the shape of the sequence's cache.
    pub positions: Vec<usize>,
    pub specs: Vec<CacheSpec>,
    /// The plan's scalars as the segment has them.
    pub scalars: Vec<u32>,
}

impl RunShape {
    pub fn of(segments: Vec<SegmentShape>) -> Self {
        let n_tokens = segments.iter().map(|segment| segment.n_rows).sum();
        let n_single = segments.iter().take_while(|segment| segment.n_rows == 1).count();
        RunShape { n_tokens, n_single, segments }
    }
}

impl SegmentShape {
    pub fn f32(&self, word: ScalarRef) -> f32 {
        f32::from_bits(self.scalars[word.0 as usize])
    }

    pub fn i32(&self, word: ScalarRef) -> i32 {
        self.scalars[word.0 as usize] as i32
    }
}

/// Workgroups of a run; a zero skips the dispatch.
#[derive(Clone)]
pub enum Grid {
    Fixed([u32; 3]),
    PerRun(Arc<dyn Fn(&RunShape) -> [u32; 3] + Send + Sync>),
}

impl Grid {
    pub fn of_run(&self, run: &RunShape) -> [u32; 3] {
        match self {
            Grid::Fixed(grid) => *grid,
            Grid::PerRun(grid) => grid(run),
        }
    }

    /// `count` workgroups of one kind, folded over x and y.
    pub fn flat(count: usize) -> Grid {
        Grid::Fixed(fold(count))
    }

    /// Enough workgroups of `threads` for `each_row` invocations a row.
    pub fn rows(rows: Rows, each_row: usize, threads: usize) -> Grid {
        if !rows.dynamic {
            return Grid::flat((rows.count * each_row).div_ceil(threads));
        }
        Grid::PerRun(Arc::new(move |run| fold((rows.of_run(run.n_tokens) * each_row).div_ceil(threads))))
    }
}

/// `count` workgroups over x and y, neither above the least limit a device may have.
pub fn fold(count: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    if count <= MOST {
        return [count as u32, 1, 1];
    }
    let y = count.div_ceil(MOST);
    [count.div_ceil(y) as u32, y as u32, 1]
}

/// The state of lowering one plan.
pub struct Lowering<'a> {
    pub plan: &'a Plan,
    pub caps: &'a Caps,
    pub tuning: &'a Tuning,
    /// By `PlacedId`.
    pub placed: &'a [Arc<Placed>],
    /// Rows that a run writes into each cache, by `CacheIdx`.
    pub rows_written: Vec<Rows>,
    pub layout: BlockLayout,
    pub dispatches: Vec<Dispatch>,
    /// Bytes of the scratch buffers asked for.
    pub scratch: Vec<usize>,
    /// Indices of shared scratch buffers by name.
    shared: BTreeMap<&'static str, usize>,
    step_idx: usize,
    /// What the last kernel that rounds a few rows made.
    rounded: Option<linear::RoundedRows>,
}

impl<'a> Lowering<'a> {
    pub fn new(plan: &'a Plan, caps: &'a Caps, tuning: &'a Tuning, placed: &'a [Arc<Placed>]) -> Self {
        let rows_written = plan.rows_written();
        let layout = BlockLayout::of(plan, &rows_written);
        Lowering {
            plan,
            caps,
            tuning,
            placed,
            rows_written,
            layout,
            dispatches: Vec::new(),
            scratch: Vec::new(),
            shared: BTreeMap::new(),
            step_idx: 0,
            rounded: None,
        }
    }

    /// Lowers every step.
    ///
    /// # Errors
    /// When a step is beyond what the kernels or the device can do.
    pub fn run(&mut self) -> Result<(), ExecError> {
        for (i, step) in self.plan.steps.iter().enumerate() {
            self.step_idx = i;
            self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), ExecError> {
        match &step.kernel {
            Kernel::Embedding(k) => self.embedding(k),
            Kernel::Norm(k) => self.norm(k.x.into(), k)?,
            Kernel::Linear(k) => self.linear(k)?,
            Kernel::ExpertLinear(k) => self.expert_linear(k)?,
            Kernel::Rope(k) => self.rope(k, &k.x, k.x.buf.into()),
            Kernel::CacheStore(k) => self.cache_store(k),
            Kernel::Attention(k) => self.attention(k)?,
            Kernel::Elementwise(k) => self.elementwise(k)?,
            Kernel::Copy(k) => self.copy(k)?,
            Kernel::Reduce(k) => self.reduce(k),
            Kernel::Cumulate(k) => self.cumulate(k),
            Kernel::Softmax(k) => self.softmax(k)?,
            Kernel::Einsum(k) => self.einsum(k)?,
            Kernel::Gather(k) => self.gather(k),
            Kernel::ScatterAdd(k) => self.scatter_add(k),
            Kernel::ArgSort { x, out, rows, len, descending, dtype } => {
                self.argsort((*x).into(), (*out).into(), *rows, *len, *descending, *dtype)
            }
            Kernel::Iota { out, len } => self.iota(*out, *len),
            Kernel::Random { kind, seed, out, len } => self.random(*kind, *seed, *out, *len),
            Kernel::SelectRow { x, index, out, n_rows, len } => self.select_row(*x, *index, *out, *n_rows, *len),
            Kernel::LastRows { x, out, n_segments, len, .. } => self.last_rows(*x, *out, *n_segments, *len),
            Kernel::RecordedIds { cache, out, rows } => self.recorded_ids(*cache, *out, *rows),
            Kernel::Scalar { value, out } => self.scalar(*value, *out),
            Kernel::Sample(k) => self.sample(k)?,
        }
        Ok(())
    }

    fn push(&mut self, source: Source, arguments: Arguments, grid: Grid) {
        self.push_work(source, arguments, grid, Work::default());
    }

    /// A dispatch long enough that submits are cut by what it does.
    fn push_work(&mut self, source: Source, arguments: Arguments, grid: Grid, work: Work) {
        self.dispatches.push(Dispatch { step_idx: self.step_idx, source, arguments, grid, work });
    }

    /// A scratch buffer of `len` words.
    fn scratch(&mut self, len: usize) -> Operand {
        self.scratch.push(len * 4);
        Operand::Scratch(self.scratch.len() - 1)
    }

    /// The scratch buffer of this name, of at least `len` words, for what one dispatch writes and the next ones of its step alone read: all
    /// uses share it.
    fn shared_scratch(&mut self, name: &'static str, len: usize) -> Operand {
        let index = *self.shared.entry(name).or_insert(self.scratch.len());
        if index == self.scratch.len() {
            self.scratch.push(0);
        }
        self.scratch[index] = self.scratch[index].max(len * 4);
        Operand::Scratch(index)
    }

    /// The word of the run's block that holds a plan's scalar.
    fn word(&self, scalar: ScalarRef) -> usize {
        self.layout.scalar(scalar)
    }

    /// The first of the words that say where the run's tokens go in a cache.
    fn places_word(&self, cache: CacheIdx) -> usize {
        self.layout.places(cache)
    }

    /// With the words of `prelude/segments`.
    fn with_segments(&self, arguments: Arguments, cache: CacheIdx) -> Arguments {
        arguments.set("segments", self.layout.segments(cache)).set("row_segments", self.layout.row_segments)
    }

    /// A kernel that asks for the segments of rows.
    fn source_of_segments(&self, op: &'static str) -> Source {
        Source::new(op).with("prelude/segments").set("MANY", self.plan.segments > 1)
    }

    fn cache(&self, cache: CacheIdx) -> Result<(&'a CacheSpec, CacheLayout), ExecError> {
        let plan = self.plan;
        let spec = plan.options.caches.get(cache.0 as usize).ok_or_else(|| self.unsupported("a cache that was not declared"))?;
        Ok((spec, CacheLayout::of(spec)))
    }

    /// The least workgroup from `least` invocations on with which `rounds` stays within what loops may take, or the widest that there is.
    fn workgroup_for(&self, least: usize, rounds: impl Fn(usize) -> usize) -> usize {
        let widest = (self.caps.workgroup_threads as usize).clamp(least, 1024);
        std::iter::successors(Some(least), |w| Some(w * 2))
            .take_while(|&w| w <= widest)
            .find(|&w| rounds(w) <= MOST_ROUNDS)
            .unwrap_or(widest)
    }

    /// Refuses what would loop for longer than the adapter lets it.
    fn check_rounds(&self, what: &str, len: usize, rounds: usize) -> Result<(), ExecError> {
        if self.caps.ends_loops && rounds > MOST_ROUNDS {
            let message = format!("{what} over {len} values would end early on this software adapter: give `--backend cpu`");
            return Err(self.unsupported(message));
        }
        Ok(())
    }

    fn unsupported(&self, message: impl Into<String>) -> ExecError {
        let origin = self.plan.steps.get(self.step_idx).map_or(Origin::default(), |s| s.origin);
        ExecError::Unsupported { message: message.into(), origin }
    }
}

impl From<Buf> for Operand {
    fn from(buf: Buf) -> Self {
        Operand::Buf(buf)
    }
}

/// Arguments that begin with rows: the bucket, and whether fewer may be true.
fn of_rows(rows: Rows) -> Arguments {
    Arguments::default().set("rows", rows.count).set("dynamic", rows.dynamic)
}

/// So many numbers, of which the last are 0: the words of an array.
fn padded<N: Default>(numbers: impl IntoIterator<Item = N>, len: usize) -> impl Iterator<Item = N> {
    numbers.into_iter().chain(std::iter::repeat_with(N::default)).take(len)
}

/// Rows of a layer's keys, or values: one a position and head.
fn kv_rows(spec: &CacheSpec) -> u32 {
    (spec.n_positions() * spec.n_kv_heads) as u32
}

/// Whether values of a type are integers in memory.
fn is_int(dtype: DType) -> bool {
    !dtype.is_float()
}

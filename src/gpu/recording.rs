//! A plan on a device: pipelines, buffers, grids. Made once; each run only binds what changes and encodes.

use std::collections::HashMap;
use std::sync::Arc;

use super::bind_groups::{BindGroupCache, BufferRange};
use super::bound::Bound;
use super::cache::Memory;
use super::contract::{RUN, STEP};
use super::device::{CountedBuffer, Gpu};
use super::lower::{BlockLayout, Dispatch, Grid, Lowering, N_ARRIVALS, Operand, RUN_WORDS, Work};
use super::pipelines::{BindingKind, Pipeline, PipelineCache};
use super::weights::{Placed, Weights};
use crate::graph::{ExecError, PageTable};
use crate::plan::{Buf, Plan, Rows, Storage};

/// Rows of a run up to which repeated runs are recorded.
const MOST_REPEATED_ROWS: usize = 128;

/// A dispatch with its pipeline.
pub struct Recorded {
    /// Index of the plan's step that it belongs to.
    pub step_idx: usize,
    pub pipeline: Arc<Pipeline>,
    /// By the bindings that the pipeline uses, but for the run's and the step's numbers.
    pub operands: Vec<(u32, Operand)>,
    /// The step's numbers, as the pipeline lays them out.
    pub step: Vec<u32>,
    /// Their range in the recording's buffer.
    pub step_range: (u64, u64),
    pub grid: Grid,
    pub work: Work,
}

/// One plan, ready to run.
pub struct Recording {
    pub plan: Plan,
    pub dispatches: Vec<Recorded>,
    /// The run's words, then the rope rows of each entry of the plan.
    pub run_block: Arc<CountedBuffer>,
    /// Whether repeated runs get a command buffer. Runs of few tokens do: to encode them takes long beside what they compute.
    pub repeats: bool,
    /// Byte offset of each rope table in the run block.
    pub rope_offsets: Vec<u64>,
    /// Rows that a run writes into each cache.
    pub rows_written: Vec<Rows>,
    /// Where the words of a run lie in its block.
    pub layout: BlockLayout,
    steps: Arc<CountedBuffer>,
    slots: Vec<Arc<CountedBuffer>>,
    scratch: Vec<Arc<CountedBuffer>>,
    /// Bytes of a storage binding, at most.
    max_binding: u64,
    placed: Vec<Arc<Placed>>,
    dense: HashMap<u32, Arc<CountedBuffer>>,
    arrivals: Option<Arc<CountedBuffer>>,
    /// By the buffers that differ from run to run.
    bound: HashMap<Vec<u64>, Arc<Bound>>,
}

/// Buffers that a run brings.
pub struct RunBuffers<'a> {
    /// By `InputId`.
    pub inputs: &'a [Option<Arc<CountedBuffer>>],
    /// By index of `Buf::Output`.
    pub outputs: &'a [Option<Arc<CountedBuffer>>],
    /// By `CacheIdx`.
    pub caches: &'a [RunCache<'a>],
}

/// A cache of a run: the memory, and the sequence of each segment in it, by its number and with the table of its pages.
pub struct RunCache<'a> {
    pub memory: &'a Memory,
    pub sequences: Vec<(usize, &'a PageTable)>,
}

/// Buffers of slots and scratch, shared by all recordings: runs follow one another on the queue.
#[derive(Default)]
pub struct SlotArena {
    buffers: Vec<Arc<CountedBuffer>>,
    /// Counters that are 0 between dispatches.
    arrivals: Option<Arc<CountedBuffer>>,
}

impl SlotArena {
    /// Buffers of at least these sizes, each another one.
    fn take(&mut self, gpu: &Gpu, sizes: &[usize]) -> Result<Vec<Arc<CountedBuffer>>, ExecError> {
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(sizes[i]));
        let mut used = vec![false; self.buffers.len()];
        let mut taken: Vec<Option<Arc<CountedBuffer>>> = vec![None; sizes.len()];
        for i in order {
            let size = sizes[i] as u64;
            let fitting = (0..self.buffers.len()).filter(|&b| !used[b] && self.buffers[b].buffer.size() >= size);
            let buffer = match fitting.min_by_key(|&b| self.buffers[b].buffer.size()) {
                Some(b) => {
                    used[b] = true;
                    self.buffers[b].clone()
                }
                None => {
                    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
                    let made = Arc::new(gpu.buffer("intermediate values", "use shorter prompts or smaller tensors", size, usage)?);
                    self.buffers.push(made.clone());
                    used.push(true);
                    made
                }
            };
            taken[i] = Some(buffer);
        }
        Ok(taken.into_iter().flatten().collect())
    }

    /// Drops the buffers that no recording holds.
    pub fn drop_unused(&mut self) {
        self.buffers.retain(|buffer| Arc::strong_count(buffer) > 1);
    }

    fn arrivals(&mut self, gpu: &Gpu) -> Result<Arc<CountedBuffer>, ExecError> {
        if let Some(made) = &self.arrivals {
            return Ok(made.clone());
        }
        let made = Arc::new(gpu.buffer("counters", "close other programs", N_ARRIVALS as u64 * 4, wgpu::BufferUsages::STORAGE)?);
        self.arrivals = Some(made.clone());
        Ok(made)
    }
}

/// What recordings share.
pub struct Shared<'a> {
    pub gpu: &'a Gpu,
    pub weights: &'a mut Weights,
    pub pipelines: &'a mut PipelineCache,
    pub arena: &'a mut SlotArena,
}

impl Recording {
    /// Places weights, lowers the plan, compiles pipelines and takes buffers.
    ///
    /// # Errors
    /// When memory is short, a weight is bad, or a step is beyond the kernels.
    pub fn new(shared: &mut Shared, plan: Plan) -> Result<Recording, ExecError> {
        let gpu = shared.gpu;
        let mut placed = Vec::new();
        let mut dense = HashMap::new();
        for (i, placement) in plan.placements.iter().enumerate() {
            match placement.storage {
                Storage::Native => placed.push(Some(Arc::new(shared.weights.native(gpu, placement)?))),
                Storage::F32 => {
                    placed.push(None);
                    dense.insert(i as u32, shared.weights.dense(gpu, placement)?);
                }
            }
        }
        // A dense placement is never asked for as native: its entry only keeps the indices.
        let placed: Vec<Arc<Placed>> = placed.into_iter().map(|p| p.unwrap_or_else(|| Arc::new(Placed::nowhere()))).collect();
        shared.weights.finish(gpu)?;
        let mut lowering = Lowering::new(&plan, &gpu.caps, &gpu.tuning, &placed);
        lowering.run()?;
        let Lowering { dispatches, scratch: scratch_sizes, rows_written, layout, .. } = lowering;
        super::limits::check(&plan, &dispatches, &scratch_sizes, &gpu.caps)?;
        let counts = dispatches.iter().any(|d| d.arguments.buffers().any(|operand| *operand == Operand::Arrivals));
        let arrivals = if counts { Some(shared.arena.arrivals(gpu)?) } else { None };
        let sources: Vec<_> = dispatches.iter().map(|d| &d.source).collect();
        shared.pipelines.prepare(gpu, &sources)?;
        let repeats = plan.bucket.is_some_and(|rows| rows <= MOST_REPEATED_ROWS);
        if repeats {
            shared.pipelines.prepare_to_record(gpu, &sources);
        }
        let sizes: Vec<usize> = plan.slots.iter().map(|len| len * 4).chain(scratch_sizes.iter().copied()).collect();
        let mut slots = shared.arena.take(gpu, &sizes)?;
        let scratch = slots.split_off(plan.slots.len());
        let (run_block, rope_offsets) = run_block(gpu, &plan, &layout)?;
        let mut recorded = Vec::new();
        for Dispatch { step_idx, source, arguments, grid, work } in dispatches {
            let Some(pipeline) = shared.pipelines.get(&source) else { continue };
            let (step, operands) = pipeline.resolve(&arguments)?;
            recorded.push(Recorded { step_idx, pipeline, operands, step, step_range: (0, 0), grid, work });
        }
        let steps = step_numbers(gpu, &mut recorded)?;
        Ok(Recording {
            plan,
            dispatches: recorded,
            run_block,
            repeats,
            rope_offsets,
            rows_written,
            layout,
            steps,
            slots,
            scratch,
            max_binding: gpu.caps.max_binding,
            placed,
            dense,
            arrivals,
            bound: HashMap::new(),
        })
    }

    /// The dispatches with the buffers of a run.
    ///
    /// # Errors
    /// When a kernel uses a buffer that its step does not give it.
    pub fn bind(&mut self, gpu: &Gpu, groups: &mut BindGroupCache, run: &RunBuffers) -> Result<Arc<Bound>, ExecError> {
        let given = run.inputs.iter().chain(run.outputs).map(|b| b.as_ref().map_or(0, |b| b.id));
        let key: Vec<u64> = given.chain(run.caches.iter().map(|c| c.memory.history.id)).collect();
        if let Some(bound) = self.bound.get(&key) {
            return Ok(bound.clone());
        }
        // Programs of the language may bring other buffers each time; the groups themselves stay cached by what they bind.
        if self.bound.len() > 64 {
            self.bound.clear();
        }
        let group_of = |dispatch: &Recorded| Ok(groups.get(gpu, &dispatch.pipeline.layout, &self.ranges(dispatch, run)?));
        let bound = Arc::new(Bound::new(self.dispatches.iter().map(group_of).collect::<Result<Vec<_>, ExecError>>()?));
        self.bound.insert(key, bound.clone());
        Ok(bound)
    }

    /// What a dispatch binds in a run with these buffers.
    ///
    /// # Errors
    /// When its kernel uses a buffer that its step does not give it.
    pub fn ranges(&self, dispatch: &Recorded, run: &RunBuffers) -> Result<Vec<(u32, BufferRange)>, ExecError> {
        let range = |&(binding, kind)| Some((binding, self.range(dispatch, binding, kind, run)?));
        let ranges: Option<Vec<(u32, BufferRange)>> = dispatch.pipeline.bindings.iter().map(range).collect();
        ranges.ok_or_else(|| {
            let message = format!("a kernel of step {} uses a buffer that it is not given", self.plan.steps[dispatch.step_idx].name);
            ExecError::Device { message, origin: Default::default() }
        })
    }

    fn range(&self, dispatch: &Recorded, binding: u32, kind: BindingKind, run: &RunBuffers) -> Option<BufferRange> {
        match binding {
            RUN => return Some(BufferRange { buffer: self.run_block.clone(), offset: 0, size: Some(RUN_WORDS as u64 * 4) }),
            STEP => {
                let (offset, size) = dispatch.step_range;
                return Some(BufferRange { buffer: self.steps.clone(), offset, size: Some(size) });
            }
            _ => {}
        }
        let (_, operand) = dispatch.operands.iter().find(|(b, _)| *b == binding)?;
        let buffer = match *operand {
            Operand::Buf(buf) => return self.buf(buf, kind, run),
            Operand::Quants(placed, piece) => self.placed[placed.0 as usize].pieces().get(piece).map(|p| &p.quants),
            Operand::Scales(placed, piece) => self.placed[placed.0 as usize].pieces().get(piece).and_then(|p| p.scales.as_ref()),
            Operand::Keys(cache, layer) => run.caches.get(cache.0 as usize).and_then(|c| c.memory.keys.get(layer)),
            Operand::Values(cache, layer) => run.caches.get(cache.0 as usize).and_then(|c| c.memory.values.get(layer)),
            Operand::Pages(cache) => run.caches.get(cache.0 as usize).map(|c| &c.memory.pages),
            Operand::History(cache) => run.caches.get(cache.0 as usize).map(|c| &c.memory.history),
            Operand::Scratch(i) => self.scratch.get(i),
            Operand::Arrivals => self.arrivals.as_ref(),
        };
        buffer.map(|buffer| self.bindable(buffer))
    }

    /// A buffer as far as a binding reaches: one of the pool may be longer than what it was taken for, which fits.
    fn bindable(&self, buffer: &Arc<CountedBuffer>) -> BufferRange {
        let size = (buffer.buffer.size() > self.max_binding).then_some(self.max_binding);
        BufferRange { buffer: buffer.clone(), offset: 0, size }
    }

    fn buf(&self, buf: Buf, kind: BindingKind, run: &RunBuffers) -> Option<BufferRange> {
        if let Buf::RopeRows(i) = buf {
            let offset = self.rope_offsets[i as usize];
            // A uniform table has a fixed length; as storage it runs to the end.
            let spec = &self.plan.rope_rows[i as usize];
            let uniform = super::lower::rope_table_len(spec.spec.n_dims) as u64 * 16;
            let size = (kind == BindingKind::Uniform).then_some(uniform);
            return Some(BufferRange { buffer: self.run_block.clone(), offset, size });
        }
        self.buffer(buf, run).map(|buffer| self.bindable(buffer))
    }

    /// The whole buffer behind a plan's name for it; none for rope rows.
    pub fn buffer<'a>(&'a self, buf: Buf, run: &'a RunBuffers) -> Option<&'a Arc<CountedBuffer>> {
        match buf {
            Buf::Slot(slot) => self.slots.get(slot.0 as usize),
            Buf::Input(input) => run.inputs.get(input.0 as usize).and_then(Option::as_ref),
            Buf::Output(output) => run.outputs.get(output as usize).and_then(Option::as_ref),
            Buf::Weight(placed) => self.dense.get(&placed.0),
            Buf::RopeRows(_) => None,
        }
    }

    /// The buffer behind any name, and the byte at which its values begin.
    pub fn source_of(&self, buf: Buf, run: &RunBuffers) -> Option<(Arc<CountedBuffer>, u64)> {
        match buf {
            Buf::RopeRows(i) => Some((self.run_block.clone(), self.rope_offsets[i as usize])),
            _ => Some((self.buffer(buf, run)?.clone(), 0)),
        }
    }

    pub fn forget_bind_groups(&mut self) {
        self.bound.clear();
    }

    /// Slots and scratch, for poison.
    pub fn intermediates(&self) -> impl Iterator<Item = &Arc<CountedBuffer>> {
        self.slots.iter().chain(&self.scratch)
    }
}

/// The numbers of all steps in one buffer, each range aligned as uniforms must be. Notes the ranges.
fn step_numbers(gpu: &Gpu, recorded: &mut [Recorded]) -> Result<Arc<CountedBuffer>, ExecError> {
    let align = u64::from(gpu.device.limits().min_uniform_buffer_offset_alignment).max(16) as usize;
    let mut bytes: Vec<u8> = Vec::new();
    for dispatch in recorded {
        bytes.resize(bytes.len().next_multiple_of(align), 0);
        let offset = bytes.len();
        bytes.extend_from_slice(bytemuck::cast_slice(&dispatch.step));
        let size = (dispatch.step.len() * 4).next_multiple_of(16);
        bytes.resize(offset + size, 0);
        dispatch.step_range = (offset as u64, size as u64);
    }
    bytes.resize(bytes.len().next_multiple_of(16).max(16), 0);
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("numbers of kernels", "use a smaller program", bytes.len() as u64, usage)?;
    gpu.queue.write_buffer(&buffer.buffer, 0, &bytes);
    Ok(Arc::new(buffer))
}

/// The buffer of a run's words and rope rows, and where each table begins.
fn run_block(gpu: &Gpu, plan: &Plan, layout: &BlockLayout) -> Result<(Arc<CountedBuffer>, Vec<u64>), ExecError> {
    let n_words = layout.n_words;
    if n_words > RUN_WORDS {
        let (n_scalars, n_tokens) = (plan.scalars.words.len(), plan.bucket.unwrap_or(0));
        let message = format!(
            "a program of {n_scalars} scalars, {n_tokens} tokens, {} caches and {} sequences takes {n_words} numbers a run; the GPU takes at most {RUN_WORDS}: give `--backend cpu`",
            plan.options.caches.len(),
            plan.segments
        );
        return Err(ExecError::Unsupported { message, origin: Default::default() });
    }
    let mut end = (n_words as u64 * 4).next_multiple_of(256);
    let mut offsets = Vec::new();
    for spec in &plan.rope_rows {
        offsets.push(end);
        let rows = (spec.rows.count * spec.spec.n_dims * 4) as u64;
        let uniform = super::lower::rope_table_len(spec.spec.n_dims) as u64 * 16;
        end += rows.max(uniform).next_multiple_of(256);
    }
    let size = end.max(RUN_WORDS as u64 * 4);
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let usage = usage | wgpu::BufferUsages::COPY_SRC;
    Ok((Arc::new(gpu.buffer("numbers of a run", "use a smaller program", size, usage)?), offsets))
}

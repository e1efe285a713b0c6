//! `graph::Executor` on the processor.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::environment;
use crate::graph::{
    Bandwidth, Binding, CacheId, CacheSpec, CompileOptions, Counters, DeviceTensor, ExecError, Executor, Graph, NodeId, Origin, ProgramId,
    ProgramKey, Programs, RopeRowsKind, RunArgs, StepTimes, rope_rows,
};
use crate::plan::{Buf, Off, Plan, Rows, Rule, Target};
use crate::tensor::{DType, HostData, HostTensor};

use super::bandwidth::bandwidth;
use super::buffer::{Buffer, Mem};
use super::cache::UsedCache;
use super::isa::Isa;
use super::sequences::Sequences;
use super::step::{RunSegment, StepContext, StepMemory, run_kernel};
use super::tensors::Tensors;
use super::threads::Threads;
use super::weights::{PlacedWeight, WeightStore};

/// How the CPU backend computes.
#[derive(Clone, Debug, Default)]
pub struct CpuOptions {
    /// f32 activations against widened weights, instead of eight-bit activations against quantized ones.
    pub precise: bool,
    /// Threads; `None` takes as many as the system gives the process.
    pub threads: Option<usize>,
    /// The level of vector instructions; `None` takes the machine's best.
    pub isa: Option<Isa>,
    /// Fills buffers with NaN bits when they are taken and when they are released; `TL_POISON=1` does so too.
    pub poison: bool,
    /// Rewrite rules to do without.
    pub rules: Off<Rule>,
}

/// What the CPU wants of a plan: everything folded, whatever the number of rows.
pub const TARGET: Target = Target { norm_prologue_rows: usize::MAX, epilogue_rows: usize::MAX, off: Off::NONE };

/// The CPU backend. Runs are finished when `run` returns.
pub struct CpuExecutor {
    isa: Isa,
    precise: bool,
    threads: Threads,
    poison: bool,
    target: Target,
    programs: Programs<Program>,
    weights: WeightStore,
    /// Intermediate buffers of all programs: runs follow one another, so they share them.
    slots: Vec<Buffer>,
    slot_buffers: u64,
    tensors: Tensors,
    sequences: Sequences,
    memory: StepMemory,
    counters: Counters,
    timed: bool,
    step_times: Vec<(String, Duration)>,
}

struct Program {
    plan: Plan,
    weights: Vec<PlacedWeight>,
    rope_rows: Vec<Vec<f32>>,
    /// Rows that a run writes into each cache.
    rows_written: Vec<Rows>,
}

impl CpuExecutor {
    pub fn new(options: CpuOptions) -> CpuExecutor {
        let isa = options.isa.filter(|isa| Isa::available().contains(isa)).unwrap_or_else(Isa::detect);
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        // A value that is not known asks for something, and only a test can ask for this.
        let poison = options.poison || environment::POISON.flag().unwrap_or(true);
        CpuExecutor {
            isa,
            precise: options.precise,
            threads: Threads::new(options.threads.unwrap_or(available).max(1)),
            poison,
            target: Target { off: options.rules, ..TARGET },
            programs: Programs::default(),
            weights: WeightStore::default(),
            slots: Vec::new(),
            slot_buffers: 0,
            tensors: Tensors::new(poison),
            sequences: Sequences::default(),
            memory: StepMemory::default(),
            counters: Counters::default(),
            timed: false,
            step_times: Vec::new(),
        }
    }

    /// What this executor asks of plans.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Whether the following runs note how long each of their steps takes.
    pub fn time_steps(&mut self, on: bool) {
        self.timed = on;
    }

    /// The steps of the last timed run: kernel and name, and the time each took.
    pub fn step_times(&mut self) -> Vec<(String, Duration)> {
        std::mem::take(&mut self.step_times)
    }

    /// Makes a plan ready to run: weights checked and placed, slots allocated.
    ///
    /// # Errors
    /// For a weight that is damaged or unreadable, without memory, and for a plan whose steps name operands that it has not.
    pub fn load(&mut self, plan: Plan) -> Result<ProgramId, ExecError> {
        self.load_as(None, plan)
    }

    fn load_as(&mut self, key: Option<ProgramKey>, plan: Plan) -> Result<ProgramId, ExecError> {
        check_operands(&plan)?;
        let weights = plan.placements.iter().map(|p| self.weights.place(self.isa, &self.threads, p)).collect::<Result<_, _>>()?;
        for (i, &len) in plan.slots.iter().enumerate() {
            if self.slots.get(i).is_none_or(|slot| slot.len() < len) {
                let buffer = Buffer::new(len, "a step's intermediate values", "a shorter prompt chunk lowers it")?;
                self.slot_buffers += 1;
                if i < self.slots.len() { self.slots[i] = buffer } else { self.slots.push(buffer) }
            }
        }
        let rope_rows = vec![Vec::new(); plan.rope_rows.len()];
        let rows_written = plan.rows_written();
        let program = self.programs.insert(key, Program { plan, weights, rope_rows, rows_written });
        self.counters.programs += 1;
        self.note_memory();
        Ok(program)
    }

    fn note_memory(&mut self) {
        let caches = self.sequences.len_bytes();
        let slots: usize = self.slots.iter().map(Buffer::len_bytes).sum();
        self.counters.buffers = self.slot_buffers + self.weights.buffers + self.tensors.buffers + 2 * self.sequences.n_memories() as u64;
        self.counters.device_bytes = (caches + slots + self.weights.bytes + self.tensors.bytes) as u64;
        self.counters.peak_device_bytes = self.counters.peak_device_bytes.max(self.counters.device_bytes);
    }
}

impl Executor for CpuExecutor {
    fn describe(&self) -> String {
        let precise = if self.precise { ", precise" } else { "" };
        format!("cpu: {} threads, {}{precise}", self.threads.count(), self.isa.name())
    }

    fn compile(&mut self, graph: &Graph, outputs: &[NodeId], options: &CompileOptions) -> Result<ProgramId, ExecError> {
        let (graph, outputs) = graph.subgraph(outputs);
        let key = (graph.key(&outputs), options.clone());
        if let Some(program) = self.programs.find(&key) {
            return Ok(program);
        }
        let plan = crate::plan::compile(&graph, &outputs, options, &self.target)?;
        self.load_as(Some(key), plan)
    }

    fn release(&mut self, program: ProgramId) {
        if !self.programs.release(program).is_empty() {
            self.weights.drop_retired();
            self.note_memory();
        }
    }

    fn free_retired(&mut self) {
        drop(self.programs.remove_if(|program| program.plan.reads_retired()));
        self.weights.drop_retired();
        self.note_memory();
    }

    fn watch_interrupt(&mut self, flag: &Arc<AtomicBool>) {
        self.threads.watch_interrupt(flag);
    }

    fn run(&mut self, program: ProgramId, args: &RunArgs) -> Result<Vec<DeviceTensor>, ExecError> {
        let id = program.0;
        let Some(program) = self.programs.get_mut(program) else {
            return Err(device(format!("there is no program {id}")));
        };
        let plan = &program.plan;
        check_segments(plan, args)?;
        let n_tokens = args.n_tokens();
        let blocks: Vec<Vec<u32>> = args.segments.iter().map(|segment| plan.scalars.evaluate(&args.literals, segment)).collect();
        for (rows, spec) in program.rope_rows.iter_mut().zip(&plan.rope_rows) {
            let window = match spec.kind {
                RopeRowsKind::Position => None,
                RopeRowsKind::SinkDelta(cache) => plan.options.caches.get(cache.0 as usize).map(|c| c.window),
            };
            rows.clear();
            for (segment, block) in args.segments.iter().zip(&blocks) {
                let first = i64::from(block[spec.first.0 as usize] as i32);
                rows.extend(rope_rows(&spec.spec, first, spec.rows.of_run(segment.n_tokens), window));
            }
        }
        for segment in &args.segments {
            for (used, rows) in segment.caches.iter().zip(&program.rows_written) {
                self.sequences.prepare(used.cache, used.position, rows.of_run(segment.n_tokens))?;
            }
        }
        let segments = bind_segments(plan, args, &self.sequences)?;
        let (staged, bound) = stage_inputs(plan, args, &mut self.tensors)?;
        let mut outputs = Vec::new();
        for (i, spec) in plan.outputs.iter().enumerate() {
            let own = spec.buf == Buf::Output(i as u32);
            outputs.push(if own { Some(self.tensors.take(spec.shape.len().max(1))?) } else { None });
        }
        if self.poison {
            self.slots.iter().for_each(Buffer::poison);
        }
        let result = {
            let mut inputs = Vec::with_capacity(bound.len());
            for (bound, staged) in bound.iter().zip(&staged) {
                inputs.push(match (staged, bound) {
                    (Some(staged), _) => Some(staged.view()),
                    (None, Some(Binding::Host(host))) => Some(Mem::of_slice(host_words(host))),
                    (None, Some(Binding::Device(tensor))) => Some(self.tensors.buffer(tensor)?.view()),
                    (None, None) => None,
                });
            }
            let output_views: Vec<_> = outputs.iter().map(|o| o.as_ref().map(Buffer::view)).collect();
            let ctx = StepContext {
                isa: self.isa,
                precise: self.precise,
                threads: &self.threads,
                n_tokens,
                blocks: &blocks,
                slots: &self.slots,
                inputs: &inputs,
                outputs: &output_views,
                weights: &program.weights,
                rope_rows: &program.rope_rows,
                segments: &segments,
            };
            let memory = &mut self.memory;
            self.step_times.clear();
            plan.steps.iter().try_for_each(|step| {
                let start = self.timed.then(Instant::now);
                let result = catch_unwind(AssertUnwindSafe(|| run_kernel(&ctx, memory, &step.kernel)));
                if let Some(start) = start {
                    self.step_times.push((step.name.clone(), start.elapsed()));
                }
                if self.threads.is_interrupted() {
                    return Err(ExecError::Interrupted);
                }
                result.map_err(|_| ExecError::Device {
                    message: format!("the cpu backend failed in step `{}`; please report it", step.name),
                    origin: step.origin,
                })
            })
        };
        if self.poison {
            self.slots.iter().for_each(Buffer::poison);
        }
        staged.into_iter().flatten().for_each(|buffer| self.tensors.give_back(buffer));
        result?;
        self.counters.steps += 1;
        self.counters.submits += 1;
        self.counters.dispatches += plan.steps.len() as u64;
        let tensors = keep_outputs(plan, outputs, &bound, &mut self.tensors);
        self.note_memory();
        tensors
    }

    fn upload(&mut self, tensor: &HostTensor) -> Result<DeviceTensor, ExecError> {
        let buffer = self.tensors.take(tensor.len().max(1))?;
        copy_words(host_words(tensor), &buffer);
        let tensor = self.tensors.keep(buffer, tensor.shape.clone(), tensor.dtype);
        self.note_memory();
        Ok(tensor)
    }

    fn read(&mut self, tensor: &DeviceTensor) -> Result<HostTensor, ExecError> {
        let buffer = self.tensors.buffer(tensor)?;
        // SAFETY: no step runs.
        let words = unsafe { &buffer.view().slice::<u32>()[..tensor.shape.len()] };
        let data = match tensor.dtype {
            DType::I32 | DType::Bool => HostData::I32(words.iter().map(|&w| w as i32).collect()),
            _ => HostData::F32(words.iter().map(|&w| f32::from_bits(w)).collect()),
        };
        Ok(HostTensor { shape: tensor.shape.clone(), dtype: tensor.dtype, data })
    }

    fn finish(&mut self) -> Result<(), ExecError> {
        Ok(())
    }

    fn new_cache(&mut self, spec: &CacheSpec) -> Result<CacheId, ExecError> {
        let cache = self.sequences.start(spec, self.poison);
        self.note_memory();
        cache
    }

    fn add_cache(&mut self, beside: CacheId) -> Result<CacheId, ExecError> {
        self.sequences.add(beside)
    }

    fn fork_cache(&mut self, of: CacheId, position: usize) -> Result<CacheId, ExecError> {
        self.sequences.fork(of, position)
    }

    fn free_cache(&mut self, cache: CacheId) {
        self.sequences.end(cache);
        self.note_memory();
    }

    fn record_history(&mut self, cache: CacheId, position: usize, ids: &[i32]) -> Result<(), ExecError> {
        let sequence = self.sequences.get(cache)?.1;
        ids.iter().enumerate().for_each(|(i, &id)| sequence.record(position + i, id));
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn run_timed(&mut self, program: ProgramId, args: &RunArgs) -> Result<Option<StepTimes>, ExecError> {
        let was = std::mem::replace(&mut self.timed, true);
        let result = self.run(program, args);
        self.timed = was;
        result.map(|_| Some(StepTimes { timed_by: "the host's clock".to_owned(), steps: self.step_times() }))
    }

    fn bandwidth(&mut self) -> Result<Option<Bandwidth>, ExecError> {
        Ok(Some(bandwidth(self.isa, self.threads.count())))
    }
}

fn device(message: String) -> ExecError {
    ExecError::Device { message, origin: Origin::default() }
}

/// Every operand of every step is one that the plan has, and no step writes what it reads.
fn check_operands(plan: &Plan) -> Result<(), ExecError> {
    let known = |buf: Buf| match buf {
        Buf::Slot(id) => (id.0 as usize) < plan.slots.len(),
        Buf::Input(id) => plan.inputs.get(id.0 as usize).is_some_and(Option::is_some),
        Buf::Output(i) => plan.outputs.get(i as usize).is_some_and(|o| o.buf == buf),
        Buf::Weight(id) => plan.placements.get(id.0 as usize).is_some_and(|p| p.storage == crate::plan::Storage::F32),
        Buf::RopeRows(i) => (i as usize) < plan.rope_rows.len(),
    };
    for step in &plan.steps {
        let (written, read) = (step.kernel.writes(), step.kernel.reads());
        let writable = written.iter().all(|buf| matches!(buf, Buf::Slot(_) | Buf::Output(_)));
        let apart = written.iter().all(|buf| !read.contains(buf));
        if !writable || !apart || !written.iter().chain(&read).all(|&buf| known(buf)) {
            let message = format!("the plan's step `{}` has operands that the cpu backend cannot take; please report it", step.name);
            return Err(ExecError::Unsupported { message, origin: step.origin });
        }
    }
    Ok(())
}

/// Refuses a run that the program cannot take.
fn check_segments(plan: &Plan, args: &RunArgs) -> Result<(), ExecError> {
    let (n, n_tokens) = (args.segments.len(), args.n_tokens());
    if n == 0 || n > plan.segments {
        return Err(device(format!("a run of {n} segments is none for a program that takes up to {}", plan.segments)));
    }
    if let Some(bucket) = plan.bucket.filter(|&bucket| n_tokens > bucket) {
        return Err(device(format!("{n_tokens} tokens are more than the {bucket} that the program takes")));
    }
    if n == 1 {
        return Ok(());
    }
    if let Some(i) = args.segments.iter().position(|segment| segment.n_tokens == 0) {
        return Err(device(format!("segment {i} of {n} has no tokens")));
    }
    let mut seen = HashSet::new();
    for used in args.segments.iter().flat_map(|segment| &segment.caches) {
        if !seen.insert(used.cache) {
            return Err(device(format!("two segments of a run are of cache {}: give a sequence one", used.cache.0)));
        }
    }
    Ok(())
}

/// The rows and the sequences of each segment.
fn bind_segments<'a>(plan: &Plan, args: &RunArgs, sequences: &'a Sequences) -> Result<Vec<RunSegment<'a>>, ExecError> {
    let mut segments = Vec::with_capacity(args.segments.len());
    let mut first_row = 0;
    for segment in &args.segments {
        let mut caches = Vec::with_capacity(plan.options.caches.len());
        for (i, spec) in plan.options.caches.iter().enumerate() {
            let used =
                segment.caches.get(i).ok_or_else(|| device(format!("the run binds {} of {} caches", segment.caches.len(), i + 1)))?;
            let (memory, sequence) = sequences.get(used.cache)?;
            if memory.spec != *spec {
                return Err(device(format!("the program was made for a cache of {spec:?}, not {:?}", memory.spec)));
            }
            caches.push(UsedCache { memory, sequence, position: used.position });
        }
        segments.push(RunSegment { first_row, n_rows: segment.n_tokens, caches });
        first_row += segment.n_tokens;
    }
    Ok(segments)
}

/// The bindings of the inputs that the plan needs; those with fewer elements than the plan's shape are copied to a buffer of that size, so that a
/// kernel that reads a whole bucket stays inside of it.
#[allow(clippy::type_complexity, reason = "two parallel lists")]
fn stage_inputs<'a>(
    plan: &Plan,
    args: &'a RunArgs,
    tensors: &mut Tensors,
) -> Result<(Vec<Option<Buffer>>, Vec<Option<&'a Binding>>), ExecError> {
    let (mut staged, mut bound) = (Vec::new(), Vec::new());
    for (i, input) in plan.inputs.iter().enumerate() {
        let Some((shape, dtype)) = input else {
            staged.push(None);
            bound.push(None);
            continue;
        };
        let binding = args.inputs.get(i).ok_or_else(|| device(format!("input {i} of {shape} is not bound")))?;
        let (len, is_float) = match binding {
            Binding::Host(host) => (host.len(), host.dtype.is_float()),
            Binding::Device(tensor) => (tensor.shape.len(), tensor.dtype.is_float()),
        };
        if len > shape.len() || len < shape.len() && plan.bucket.is_none() || is_float != dtype.is_float() {
            return Err(device(format!("input {i} takes {dtype} {shape}, but is bound to {len} elements of another shape or type")));
        }
        staged.push(if len < shape.len() {
            let buffer = tensors.take(shape.len())?;
            match binding {
                Binding::Host(host) => copy_words(host_words(host), &buffer),
                // SAFETY: no step runs.
                Binding::Device(tensor) => copy_words(unsafe { &tensors.buffer(tensor)?.view().slice()[..len] }, &buffer),
            }
            Some(buffer)
        } else {
            None
        });
        bound.push(Some(binding));
    }
    Ok((staged, bound))
}

/// Handles to a run's outputs: a buffer of their own, another output's, or a copy of an input.
fn keep_outputs(
    plan: &Plan,
    mut outputs: Vec<Option<Buffer>>,
    bound: &[Option<&Binding>],
    tensors: &mut Tensors,
) -> Result<Vec<DeviceTensor>, ExecError> {
    let mut kept: Vec<Option<DeviceTensor>> = vec![None; outputs.len()];
    for (i, buffer) in outputs.iter_mut().enumerate() {
        if let Some(buffer) = buffer.take() {
            kept[i] = Some(tensors.keep(buffer, plan.outputs[i].shape.clone(), plan.outputs[i].dtype));
        }
    }
    let mut handles = Vec::with_capacity(kept.len());
    for (i, spec) in plan.outputs.iter().enumerate() {
        let handle = match (&kept[i], spec.buf) {
            (Some(own), _) => own.clone(),
            (None, Buf::Output(other)) => {
                let other = kept.get(other as usize).cloned().flatten();
                let other = other.ok_or_else(|| device(format!("output {i} has no buffer; please report it")))?;
                let mut handle = other.reshaped(spec.shape.clone());
                handle.dtype = spec.dtype;
                handle
            }
            (None, Buf::Input(input)) => {
                let words: Vec<u32> = match bound.get(input.0 as usize).copied().flatten() {
                    Some(Binding::Host(host)) => host_words(host).to_vec(),
                    // SAFETY: no step runs.
                    Some(Binding::Device(tensor)) => unsafe {
                        tensors.buffer(tensor)?.view().slice::<u32>()[..tensor.shape.len()].to_vec()
                    },
                    None => return Err(device(format!("output {i} is an input that is not bound"))),
                };
                let buffer = tensors.take(spec.shape.len().max(1))?;
                copy_words(&words, &buffer);
                tensors.keep(buffer, spec.shape.clone(), spec.dtype)
            }
            (None, buf) => return Err(device(format!("output {i} lies in {buf:?}, which does not outlive a run; please report it"))),
        };
        handles.push(handle);
    }
    Ok(handles)
}

fn host_words(host: &HostTensor) -> &[u32] {
    match &host.data {
        HostData::F32(values) => bytemuck::cast_slice(values),
        HostData::I32(values) => bytemuck::cast_slice(values),
    }
}

fn copy_words(words: &[u32], buffer: &Buffer) {
    // SAFETY: no step runs, and the buffer is not yet a tensor.
    let out: &mut [u32] = unsafe { buffer.view().slice_mut() };
    let n = words.len().min(out.len());
    out[..n].copy_from_slice(&words[..n]);
}

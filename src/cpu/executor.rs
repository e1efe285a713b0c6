//! `graph::Executor` on the processor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::environment;
use crate::graph::{
    Bandwidth, Binding, CacheId, CacheSpec, CompileOptions, Counters, DeviceTensor, ExecError, Executor, Graph, NodeId, ProgramId,
    ProgramKey, Programs, RopeRowsKind, RunArgs, Sequences, StepTimes, rope_rows,
};
use crate::plan::{Buf, Off, Plan, Rows, Rule, Target};
use crate::tensor::{DType, HostData, HostTensor};

use super::bandwidth::bandwidth;
use super::buffer::{Buffer, Mem};
use super::cache::KvMemory;
use super::isa::Isa;
use super::operands::{bind_segments, check_operands, check_segments, copy_words, device, host_words, keep_outputs, stage_inputs};
use super::step::{StepContext, StepMemory, run_kernel};
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
    sequences: Sequences<KvMemory>,
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
        let caches: usize = self.sequences.memories().map(KvMemory::len_bytes).sum();
        let slots: usize = self.slots.iter().map(Buffer::len_bytes).sum();
        self.counters.buffers =
            self.slot_buffers + self.weights.buffers + self.tensors.buffers + 2 * self.sequences.memories().count() as u64;
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
                let prepared = self.sequences.prepare(used.cache, used.position, rows.of_run(segment.n_tokens))?;
                let memory = self.sequences.get(used.cache)?.memory;
                prepared.copies.into_iter().for_each(|copy| memory.copy_page(copy));
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
        let poison = self.poison;
        let cache = self.sequences.start(spec, || {
            let memory = KvMemory::new(spec)?;
            if poison {
                memory.poison();
            }
            Ok(memory)
        });
        self.note_memory();
        cache
    }

    fn add_cache(&mut self, beside: CacheId) -> Result<CacheId, ExecError> {
        let cache = self.sequences.add(beside)?;
        let added = self.sequences.get(cache)?;
        added.memory.history(added.number).clear();
        Ok(cache)
    }

    fn fork_cache(&mut self, of: CacheId, position: usize) -> Result<CacheId, ExecError> {
        let cache = self.sequences.fork(of, position)?;
        let (from, fork) = (self.sequences.get(of)?, self.sequences.get(cache)?);
        fork.memory.history(fork.number).copy_from(from.memory.history(from.number));
        Ok(cache)
    }

    fn keep_pages(&mut self, cache: CacheId, ids: &[i32]) -> Result<(), ExecError> {
        self.sequences.keep(cache, ids)
    }

    fn reuse_pages(&mut self, cache: CacheId, ids: &[i32]) -> Result<usize, ExecError> {
        let n = self.sequences.reuse(cache, ids)?;
        self.record_history(cache, 0, &ids[..n])?;
        Ok(n)
    }

    fn free_pages(&self, beside: CacheId) -> Result<usize, ExecError> {
        self.sequences.n_free_pages(beside)
    }

    fn ends_runs_at_once(&self) -> bool {
        true
    }

    fn free_cache(&mut self, cache: CacheId) {
        drop(self.sequences.end(cache));
        self.note_memory();
    }

    fn record_history(&mut self, cache: CacheId, position: usize, ids: &[i32]) -> Result<(), ExecError> {
        let sequence = self.sequences.get(cache)?;
        let history = sequence.memory.history(sequence.number);
        ids.iter().enumerate().for_each(|(i, &id)| history.record(position + i, id));
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

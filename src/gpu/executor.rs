//! The GPU as a `graph::Executor`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bind_groups::BindGroupCache;
use super::cache::Memory;
use super::caps::Caps;
use super::device::{CountedBuffer, Gpu};
use super::errors::GpuError;
use super::held::Held;
use super::lower::matvec_work;
use super::options::GpuOptions;
use super::pipelines::PipelineCache;
use super::pool::Pool;
use super::quant::WeightFormat;
use super::readback::{EAGER_BYTES, Readback, ReadbackRing};
use super::recording::{Recording, RunBuffers, RunCache, Shared, SlotArena};
use super::run_clock::RunClock;
use super::submit::{Encoded, encode, prepare_pages};
use super::timer::Timer;
use super::tuning::{MatvecTuning, candidates};
use super::variants::Variant;
use super::weights::Weights;
use super::{bandwidth, submit, tune};
use crate::graph::{
    Bandwidth, Binding, CacheId, CacheSpec, CompileOptions, Counters, DeviceTensor, DeviceTime, ExecError, Executor, Graph, NodeId, Origin,
    PagedSequence, ProgramId, ProgramKey, Programs, Released, RunArgs, Sequences, StepTimes, TuneReport, Tuned,
};
use crate::plan::{Buf, Kernel, Off, Plan, Rule, Target};
use crate::tensor::{DType, HostData, HostTensor, Shape};

/// Two runs that follow one another share a submit where one takes less than this: making and awaiting a submit takes a fifth of such a run's
/// processor time.
const SHORT_RUN: Duration = Duration::from_micros(1_250);

/// Timed runs of each shape in tuning; the shortest time of each dispatch counts.
const TUNE_RUNS: usize = 6;

/// Runs plans on one GPU.
pub struct GpuExecutor {
    gpu: Gpu,
    weights: Weights,
    pipelines: PipelineCache,
    groups: BindGroupCache,
    arena: SlotArena,
    pool: Pool,
    readbacks: ReadbackRing,
    programs: Programs<Program>,
    sequences: Sequences<Memory>,
    tensors: HashMap<u64, Tensor>,
    next_tensor: u64,
    released: Released,
    held: Held,
    /// While runs are watched.
    clock: Option<RunClock>,
    counters: Counters,
}

struct Program {
    recording: Recording,
    /// Buffers of inputs that are bound to host tensors, by `InputId`; made at first use.
    staged: Vec<Option<Arc<CountedBuffer>>>,
}

/// A tensor's buffer, and its copy to the host where there is one.
struct Tensor {
    buffer: Arc<CountedBuffer>,
    readback: Option<Arc<Readback>>,
}

impl GpuExecutor {
    /// Opens a device.
    ///
    /// # Errors
    /// When there is none that the options allow.
    pub fn new(options: &GpuOptions) -> Result<Self, GpuError> {
        let mut gpu = Gpu::open(options)?;
        gpu.tuning.measured = tune::load(&gpu);
        Ok(GpuExecutor {
            gpu,
            weights: Weights::default(),
            pipelines: PipelineCache::default(),
            groups: BindGroupCache::default(),
            arena: SlotArena::default(),
            pool: Pool::default(),
            readbacks: ReadbackRing::default(),
            programs: Programs::default(),
            sequences: Sequences::default(),
            tensors: HashMap::new(),
            next_tensor: 0,
            released: Released::default(),
            held: Held::default(),
            clock: None,
            counters: Counters::default(),
        })
    }

    /// What the kernels of this device are fused up to.
    pub fn target(&self) -> Target {
        let rows = super::lower::MATVEC_ROWS;
        // Where x is narrowed for the matrix units, its norm costs nothing more, and their kernel has these epilogues; what it cannot take is lowered apart.
        let many = if self.gpu.caps.matrix_edge > 0 { usize::MAX } else { rows };
        Target { norm_prologue_rows: many, epilogue_rows: many, off: self.gpu.options.rules }
    }

    /// Compiles from now on as other options ask; what was compiled stays as it is. The device stays, with the features that it was opened with.
    pub fn restrict(&mut self, precise: bool, rules: Off<Rule>, kernels: Off<Variant>) {
        let texts = |caps: &Caps| (caps.target(), caps.immediate_bytes);
        let before = texts(&self.gpu.caps);
        self.gpu.options = GpuOptions { precise, rules, kernels, ..self.gpu.options.clone() };
        self.gpu.caps = Caps::new(&self.gpu.device, &self.gpu.info, &self.gpu.options);
        if texts(&self.gpu.caps) != before {
            self.pipelines.forget();
        }
        self.programs.forget_keys();
    }

    /// Prepares a plan that was made elsewhere.
    ///
    /// # Errors
    /// As [`Executor::compile`].
    pub fn load(&mut self, plan: Plan) -> Result<ProgramId, ExecError> {
        self.load_as(None, plan)
    }

    fn load_as(&mut self, key: Option<ProgramKey>, plan: Plan) -> Result<ProgramId, ExecError> {
        let n_inputs = plan.inputs.len();
        let recording = self.record(plan)?;
        self.counters.programs += 1;
        Ok(self.programs.insert(key, Program { recording, staged: vec![None; n_inputs] }))
    }

    fn program(&self, program: ProgramId) -> Result<&Program, ExecError> {
        self.programs.get(program).ok_or_else(|| no_program(program))
    }

    fn program_mut(&mut self, program: ProgramId) -> Result<&mut Program, ExecError> {
        self.programs.get_mut(program).ok_or_else(|| no_program(program))
    }

    /// Frees what dropped programs alone used.
    fn dropped(&mut self, programs: Vec<Program>) {
        if programs.is_empty() {
            return;
        }
        for buffer in programs.into_iter().flat_map(|program| program.staged).flatten() {
            self.pool.give(&self.gpu, buffer);
        }
        self.forget_bind_groups();
        self.arena.drop_unused();
        self.pipelines.drop_unused();
        self.weights.drop_retired();
    }

    /// The kernels compiled so far: name and whole text.
    pub fn kernels(&self) -> Vec<(String, String)> {
        let target = self.gpu.caps.target();
        self.pipelines.sources().filter_map(|source| Some((source.name(), source.assemble(target).ok()?))).collect()
    }

    /// The device, for timing and tests.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn collect_released(&mut self) {
        for id in self.released.take() {
            let Some(tensor) = self.tensors.remove(&id) else { continue };
            if let Some(readback) = tensor.readback {
                self.readbacks.recycle(readback);
            }
            if let Ok(buffer) = Arc::try_unwrap(tensor.buffer) {
                self.pool.give(&self.gpu, Arc::new(buffer));
            } else {
                // Another tensor shares the buffer; the last one gives it back.
            }
        }
    }

    fn add_tensor(&mut self, buffer: Arc<CountedBuffer>, readback: Option<Arc<Readback>>, shape: Shape, dtype: DType) -> DeviceTensor {
        let id = self.next_tensor;
        self.next_tensor += 1;
        self.tensors.insert(id, Tensor { buffer, readback });
        DeviceTensor::new(id, shape, dtype, &self.released)
    }

    /// The buffers of a run's inputs; host tensors are staged.
    fn bind_inputs(
        &mut self,
        program: ProgramId,
        args: &RunArgs,
        copies: &mut Vec<submit::Copy>,
    ) -> Result<Vec<Option<Arc<CountedBuffer>>>, ExecError> {
        let n_inputs = self.program(program)?.recording.plan.inputs.len();
        let mut bound = Vec::with_capacity(n_inputs);
        for i in 0..n_inputs {
            let plan = &self.program(program)?.recording.plan;
            let Some((shape, _)) = &plan.inputs[i] else {
                bound.push(None);
                continue;
            };
            let len_bytes = shape.len() * 4;
            let is_output = plan.outputs.iter().any(|o| o.buf == Buf::Input(crate::graph::InputId(i as u32)));
            let binding = args.inputs.get(i).ok_or_else(|| unsupported(format!("input {i} is not bound")))?;
            bound.push(Some(match binding {
                Binding::Device(tensor) => {
                    let buffer =
                        self.tensors.get(&tensor.id()).ok_or_else(|| unsupported("a tensor of another device".to_owned()))?.buffer.clone();
                    if buffer.buffer.size() >= len_bytes as u64 {
                        buffer
                    } else {
                        // Fewer rows than the bucket: kernels that compute all of it need all of it.
                        let staged = self.staged(program, i, len_bytes)?;
                        copies.push(submit::Copy::new(buffer, staged.clone(), tensor.shape.len() * 4));
                        staged
                    }
                }
                Binding::Host(host) => {
                    if host.bytes().len() > len_bytes {
                        return Err(unsupported(format!("input {i} is bound to {}, the program takes {shape}", host.shape)));
                    }
                    let buffer = if is_output {
                        self.pool.take_for_write(&self.gpu, "an input", len_bytes)?
                    } else {
                        self.staged(program, i, len_bytes)?
                    };
                    self.gpu.queue.write_buffer(&buffer.buffer, 0, host.bytes());
                    buffer
                }
            }));
        }
        Ok(bound)
    }

    fn staged(&mut self, program: ProgramId, input: usize, len_bytes: usize) -> Result<Arc<CountedBuffer>, ExecError> {
        if let Some(buffer) = &self.program(program)?.staged[input] {
            return Ok(buffer.clone());
        }
        let buffer = self.pool.take_for_write(&self.gpu, "an input", len_bytes)?;
        self.program_mut(program)?.staged[input] = Some(buffer.clone());
        Ok(buffer)
    }

    /// Runs the program under the default and under each candidate shape; `None` where the device cannot time it.
    fn try_shapes(
        &mut self,
        program: ProgramId,
        args: &RunArgs,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<tune::Measured>, ExecError> {
        let mut measured = tune::Measured::default();
        let shapes: Vec<Option<MatvecTuning>> = std::iter::once(None).chain(candidates(&self.gpu.caps).into_iter().map(Some)).collect();
        for (i, shape) in shapes.iter().enumerate() {
            on_progress(i, shapes.len());
            self.gpu.tuning.trial = *shape;
            self.record_again(program)?;
            let mut runs = Vec::new();
            for _ in 0..=TUNE_RUNS {
                match self.run_timed(program, args)? {
                    Some(times) => runs.push(times.steps),
                    None => return Ok(None),
                }
            }
            // The first run is not counted: its buffers may be new.
            runs.remove(0);
            let plan = &self.program(program)?.recording.plan;
            let mut sums: BTreeMap<String, Duration> = BTreeMap::new();
            for (step_idx, step) in plan.steps.iter().enumerate() {
                let Kernel::Linear(k) = &step.kernel else { continue };
                let Some(format) = WeightFormat::of(plan.placements[k.weight.0 as usize].dtype()) else { continue };
                let work = matvec_work(k, format);
                let used = self.gpu.tuning.matvec(&self.gpu.caps, &work);
                if k.rows.count == 1 && shape.is_none_or(|s| s == used) {
                    *sums.entry(work.key()).or_default() += runs.iter().map(|run| run[step_idx].1).min().unwrap_or_default();
                }
            }
            for (work, time) in sums {
                measured.add(&work, *shape, time);
            }
        }
        Ok(Some(measured))
    }

    fn record(&mut self, plan: Plan) -> Result<Recording, ExecError> {
        let mut shared = Shared { gpu: &self.gpu, weights: &mut self.weights, pipelines: &mut self.pipelines, arena: &mut self.arena };
        let recording = Recording::new(&mut shared, plan)?;
        self.gpu.faults.check()?;
        Ok(recording)
    }

    /// Lowers a program's plan once more, with the kernel shapes of now.
    fn record_again(&mut self, program: ProgramId) -> Result<(), ExecError> {
        let plan = self.program(program)?.recording.plan.clone();
        let recording = self.record(plan)?;
        self.program_mut(program)?.recording = recording;
        Ok(())
    }

    /// Encodes a run, each dispatch timed where there is a timer. What the host writes comes before all that is held.
    fn start(&mut self, program: ProgramId, args: &RunArgs, timer: Option<&Timer>) -> Result<Vec<DeviceTensor>, ExecError> {
        self.gpu.faults.check()?;
        self.collect_released();
        self.check_args(program, args)?;
        if args.inputs.iter().any(|input| matches!(input, Binding::Host(_))) {
            self.submit_held();
        }
        self.prepare_pages(program, args)?;
        let mut copies = Vec::new();
        let inputs = self.bind_inputs(program, args, &mut copies)?;
        let specs = self.program(program)?.recording.plan.outputs.clone();
        let mut outputs: Vec<Option<Arc<CountedBuffer>>> = vec![None; specs.len()];
        for spec in &specs {
            if let Buf::Output(i) = spec.buf
                && outputs[i as usize].is_none()
            {
                let len = specs[i as usize].shape.len() * 4;
                outputs[i as usize] = Some(self.pool.take(&self.gpu, "an output", len)?);
            }
        }
        let caches = run_caches(&self.sequences, args);
        let buffers = RunBuffers { inputs: &inputs, outputs: &outputs, caches: &caches };
        let recording = &mut self.programs.get_mut(program).ok_or_else(|| no_program(program))?.recording;
        let bound = recording.bind(&self.gpu, &mut self.groups, &buffers)?;

        // Values that are not made for an output alone are copied out at the end.
        let mut results: Vec<Arc<CountedBuffer>> = Vec::new();
        let mut final_copies: Vec<submit::Copy> = Vec::new();
        for spec in &specs {
            let len_bytes = spec.shape.len() * 4;
            let own = match spec.buf {
                Buf::Output(_) | Buf::Input(_) => recording.buffer(spec.buf, &buffers).cloned(),
                _ => None,
            };
            results.push(match own {
                Some(buffer) => buffer,
                None => {
                    let copy = self.pool.take_for_write(&self.gpu, "an output", len_bytes)?;
                    let made = recording.source_of(spec.buf, &buffers);
                    let (from, offset) = made.ok_or_else(|| unsupported("an output that nothing makes".to_owned()))?;
                    final_copies.push(submit::Copy::new(from, copy.clone(), len_bytes).at(offset));
                    copy
                }
            });
        }
        let mut poisoned = self.pool.take_poisoned();
        if self.gpu.options.poison {
            poisoned.extend(recording.intermediates().cloned());
        }
        let encoded = Encoded {
            recording,
            bound: &bound,
            buffers: &buffers,
            args,
            before: &copies,
            after: &final_copies,
            poisoned: &poisoned,
            timer,
        };
        encode(&self.gpu, &mut self.held, &encoded, &mut self.clock, &mut self.counters)?;
        let mut tensors = Vec::with_capacity(specs.len());
        for (spec, buffer) in specs.iter().zip(results) {
            let len_bytes = spec.shape.len() * 4;
            let eager = len_bytes > 0 && len_bytes <= EAGER_BYTES;
            let readback = if eager { Some(self.readbacks.copy(&self.gpu, &mut self.held, &buffer, len_bytes)?) } else { None };
            tensors.push(self.add_tensor(buffer, readback, spec.shape.clone(), spec.dtype));
        }
        if self.gpu.options.faults.lost_after == Some(self.counters.steps) {
            self.submit_held();
            self.gpu.lose();
        }
        Ok(tensors)
    }

    fn submit_held(&mut self) {
        self.held.submit(&self.gpu, &mut self.counters);
    }

    fn check_args(&self, program: ProgramId, args: &RunArgs) -> Result<(), ExecError> {
        let plan = &self.program(program)?.recording.plan;
        if let Some(bucket) = plan.bucket
            && args.n_tokens() > bucket
        {
            return Err(unsupported(format!("{} tokens in a run of at most {bucket}", args.n_tokens())));
        }
        if args.segments.is_empty() || args.segments.len() > plan.segments {
            return Err(unsupported(format!("{} segments in a run of at most {}", args.segments.len(), plan.segments)));
        }
        if args.segments.len() > 1 && args.segments.iter().skip_while(|s| s.n_tokens == 1).any(|s| s.n_tokens <= 1) {
            return Err(unsupported("segments of one row come before others, and none is empty".to_owned()));
        }
        for (i, spec) in plan.options.caches.iter().enumerate() {
            let mut first = None;
            for segment in &args.segments {
                let used = segment.caches.get(i).ok_or_else(|| unsupported(format!("cache {i} is not bound")))?;
                let memory = self.sequences.get(used.cache)?.memory;
                if memory.spec != *spec {
                    return Err(unsupported(format!("cache {i} has another shape than the program was compiled for")));
                }
                if first.is_some_and(|other| !std::ptr::eq(other, memory)) {
                    return Err(unsupported(
                        "the sequences of a run lie in two memories: make them by `add_cache` or `fork_cache`".to_owned(),
                    ));
                }
                first.get_or_insert(memory);
            }
        }
        args.fault_of_positions(&plan.options.caches).map_or(Ok(()), |fault| Err(unsupported(fault)))
    }

    fn prepare_pages(&mut self, program: ProgramId, args: &RunArgs) -> Result<(), ExecError> {
        let recording = &self.programs.get(program).ok_or_else(|| no_program(program))?.recording;
        prepare_pages(&self.gpu, &mut self.held, &mut self.sequences, &recording.rows_written, args, &mut self.counters)
    }

    /// Gives the device the table of a sequence.
    fn upload_table(&mut self, cache: CacheId) -> Result<(), ExecError> {
        self.submit_held();
        let PagedSequence { memory, number, table, .. } = self.sequences.get(cache)?;
        memory.upload(&self.gpu, number, table);
        Ok(())
    }

    /// Bind groups keep buffers alive; after one is dropped they are made anew.
    fn forget_bind_groups(&mut self) {
        self.groups.clear();
        for program in self.programs.iter_mut() {
            program.recording.forget_bind_groups();
        }
    }

    fn read_bytes<T>(&mut self, tensor: &DeviceTensor, read: impl FnOnce(&[u8]) -> T) -> Result<T, ExecError> {
        let entry = self.tensors.get_mut(&tensor.id()).ok_or_else(|| unsupported("a tensor of another device".to_owned()))?;
        let readback = match entry.readback.take() {
            Some(copied) => copied,
            None => self.readbacks.copy(&self.gpu, &mut self.held, &entry.buffer, tensor.shape.len() * 4)?,
        };
        if !readback.is_submitted() {
            self.submit_held();
        }
        let value = self.readbacks.finish(&self.gpu, &readback, read);
        self.readbacks.recycle(readback);
        value
    }
}

impl Executor for GpuExecutor {
    fn describe(&self) -> String {
        self.gpu.describe()
    }

    fn compile(&mut self, graph: &Graph, outputs: &[NodeId], options: &CompileOptions) -> Result<ProgramId, ExecError> {
        let (graph, outputs) = graph.subgraph(outputs);
        let key = (graph.key(&outputs), options.clone());
        if let Some(program) = self.programs.find(&key) {
            return Ok(program);
        }
        let plan = crate::plan::compile(&graph, &outputs, options, &self.target())?;
        self.load_as(Some(key), plan)
    }

    fn release(&mut self, program: ProgramId) {
        let dropped = self.programs.release(program);
        self.dropped(dropped);
    }

    fn free_retired(&mut self) {
        let dropped = self.programs.remove_if(|program| program.recording.plan.reads_retired());
        self.dropped(dropped);
        self.weights.drop_retired();
    }

    fn run(&mut self, program: ProgramId, args: &RunArgs) -> Result<Vec<DeviceTensor>, ExecError> {
        let outputs = self.start(program, args, None)?;
        self.submit_held();
        Ok(outputs)
    }

    fn run_ahead(&mut self, program: ProgramId, args: &RunArgs) -> Result<Vec<DeviceTensor>, ExecError> {
        self.start(program, args, None)
    }

    fn runs_a_submit(&self, run: Duration) -> usize {
        if run < SHORT_RUN && !self.gpu.caps.software { 2 } else { 1 }
    }

    fn run_timed(&mut self, program: ProgramId, args: &RunArgs) -> Result<Option<StepTimes>, ExecError> {
        let recording = &self.program(program)?.recording;
        let Some(timer) = Timer::new(&self.gpu, recording.dispatches.len()) else { return Ok(None) };
        self.submit_held();
        self.start(program, args, Some(&timer))?;
        self.submit_held();
        let times = timer.read(&self.gpu)?;
        let recording = &self.program(program)?.recording;
        let mut steps: Vec<(String, Duration)> = recording.plan.steps.iter().map(|s| (s.name.clone(), Duration::ZERO)).collect();
        for (dispatch, time) in recording.dispatches.iter().zip(times) {
            steps[dispatch.step_idx].1 += time;
        }
        Ok(Some(StepTimes { timed_by: timer.describe().to_owned(), steps }))
    }

    fn watch_runs(&mut self) -> bool {
        self.submit_held();
        self.clock = RunClock::new(&self.gpu);
        self.clock.is_some()
    }

    fn watched_runs(&mut self) -> Result<Option<DeviceTime>, ExecError> {
        self.submit_held();
        self.clock.take().map(|clock| clock.read(&self.gpu)).transpose()
    }

    fn replay(
        &mut self,
        program: ProgramId,
        args: &RunArgs,
        times: usize,
        runs_a_submit: usize,
        begin: &mut dyn FnMut(),
    ) -> Result<bool, ExecError> {
        // A run as any other makes the buffers, which its tensors hold until the end.
        let results = self.start(program, args, None)?;
        let specs = &self.program(program)?.recording.plan.outputs;
        if specs.len() != 1 || specs[0].buf != Buf::Output(0) {
            return Ok(false);
        }
        let outputs: Vec<Option<Arc<CountedBuffer>>> = results.iter().map(|r| Some(self.tensors.get(&r.id())?.buffer.clone())).collect();
        let [Some(output)] = &outputs[..] else { return Ok(false) };
        let len_bytes = specs[0].shape.len() * 4;
        let inputs = self.bind_inputs(program, args, &mut Vec::new())?;
        self.read(&results[0])?;
        let mut args = args.clone();
        let bound = {
            let caches = run_caches(&self.sequences, &args);
            let buffers = RunBuffers { inputs: &inputs, outputs: &outputs, caches: &caches };
            let recording = &mut self.programs.get_mut(program).ok_or_else(|| no_program(program))?.recording;
            recording.bind(&self.gpu, &mut self.groups, &buffers)?
        };
        let mut copied = VecDeque::new();
        begin();
        let (mut step, mut newest_submit) = (0, 0);
        while step < times || !copied.is_empty() {
            // As the generate loop: one submit is under way while the next is made.
            while copied.len() <= newest_submit && step < times {
                newest_submit = runs_a_submit.min(times - step);
                for _ in 0..newest_submit {
                    args.segments.iter_mut().flat_map(|s| &mut s.caches).for_each(|cache| cache.position += 1);
                    self.prepare_pages(program, &args)?;
                    let caches = run_caches(&self.sequences, &args);
                    let buffers = RunBuffers { inputs: &inputs, outputs: &outputs, caches: &caches };
                    let recording = &self.programs.get(program).ok_or_else(|| no_program(program))?.recording;
                    let run = Encoded {
                        recording,
                        bound: &bound,
                        buffers: &buffers,
                        args: &args,
                        before: &[],
                        after: &[],
                        poisoned: &[],
                        timer: None,
                    };
                    encode(&self.gpu, &mut self.held, &run, &mut None, &mut self.counters)?;
                    copied.push_back(self.readbacks.copy(&self.gpu, &mut self.held, output, len_bytes)?);
                    step += 1;
                }
                self.held.submit(&self.gpu, &mut self.counters);
            }
            let Some(readback) = copied.pop_front() else { break };
            self.readbacks.finish(&self.gpu, &readback, |_| ())?;
            self.readbacks.recycle(readback);
        }
        Ok(true)
    }

    fn tune(
        &mut self,
        program: ProgramId,
        args: &RunArgs,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<TuneReport>, ExecError> {
        let earlier = std::mem::take(&mut self.gpu.tuning.measured);
        let tried = self.try_shapes(program, args, on_progress);
        // What other models of this adapter were tuned for stays, also when measuring failed.
        self.gpu.tuning.trial = None;
        self.gpu.tuning.measured = earlier;
        let Some(measured) = tried? else { return Ok(None) };
        let choices = measured.choices();
        for choice in &choices {
            match choice.chosen {
                Some(shape) => self.gpu.tuning.measured.insert(choice.work.clone(), shape),
                None => self.gpu.tuning.measured.remove(&choice.work),
            };
        }
        self.record_again(program)?;
        let kept = tune::save(&self.gpu, &self.gpu.tuning.measured);
        let tuned = |c: tune::Choice| Tuned { work: c.work, before: c.default, after: c.best, shape: c.chosen.map(|s| s.describe()) };
        Ok(Some(TuneReport { works: choices.into_iter().map(tuned).collect(), kept }))
    }

    fn bandwidth(&mut self) -> Result<Option<Bandwidth>, ExecError> {
        bandwidth::measure(&self.gpu, &mut self.pipelines)
    }

    fn upload(&mut self, tensor: &HostTensor) -> Result<DeviceTensor, ExecError> {
        self.collect_released();
        self.submit_held();
        let buffer = self.pool.take_for_write(&self.gpu, "a tensor", tensor.bytes().len())?;
        self.gpu.queue.write_buffer(&buffer.buffer, 0, tensor.bytes());
        Ok(self.add_tensor(buffer, None, tensor.shape.clone(), tensor.dtype))
    }

    fn read(&mut self, tensor: &DeviceTensor) -> Result<HostTensor, ExecError> {
        self.collect_released();
        let (shape, dtype) = (tensor.shape.clone(), tensor.dtype);
        if shape.is_empty() {
            let data = if dtype.is_float() { HostData::F32(Vec::new()) } else { HostData::I32(Vec::new()) };
            return Ok(HostTensor { shape, dtype, data });
        }
        let len_bytes = shape.len() * 4;
        let data = self.read_bytes(tensor, |bytes| {
            let bytes = &bytes[..len_bytes];
            if dtype.is_float() {
                HostData::F32(bytemuck::pod_collect_to_vec(bytes))
            } else {
                HostData::I32(bytemuck::pod_collect_to_vec(bytes))
            }
        })?;
        Ok(HostTensor { shape, dtype, data })
    }

    fn finish(&mut self) -> Result<(), ExecError> {
        self.submit_held();
        self.gpu.queue.submit([]);
        self.gpu.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| ExecError::DeviceLost(e.to_string()))?;
        self.gpu.faults.check()
    }

    fn new_cache(&mut self, spec: &CacheSpec) -> Result<CacheId, ExecError> {
        let cache = self.sequences.start(spec, || Memory::new(&self.gpu, spec))?;
        self.upload_table(cache)?;
        Ok(cache)
    }

    fn add_cache(&mut self, beside: CacheId) -> Result<CacheId, ExecError> {
        let cache = self.sequences.add(beside)?;
        self.upload_table(cache)?;
        Ok(cache)
    }

    fn fork_cache(&mut self, of: CacheId, position: usize) -> Result<CacheId, ExecError> {
        let cache = self.sequences.fork(of, position)?;
        self.upload_table(cache)?;
        let (from, fork) = (self.sequences.get(of)?, self.sequences.get(cache)?);
        fork.memory.copy_history(&self.gpu, self.held.encoder(&self.gpu), from.number, fork.number)?;
        Ok(cache)
    }

    fn keep_pages(&mut self, cache: CacheId, ids: &[i32]) -> Result<(), ExecError> {
        self.sequences.keep(cache, ids)
    }

    fn reuse_pages(&mut self, cache: CacheId, ids: &[i32]) -> Result<usize, ExecError> {
        let n = self.sequences.reuse(cache, ids)?;
        if n > 0 {
            self.upload_table(cache)?;
            self.record_history(cache, 0, &ids[..n])?;
        }
        Ok(n)
    }

    fn free_pages(&self, beside: CacheId) -> Result<usize, ExecError> {
        self.sequences.n_free_pages(beside)
    }

    fn free_cache(&mut self, cache: CacheId) {
        if self.sequences.end(cache).is_some() {
            self.forget_bind_groups();
        }
    }

    fn record_history(&mut self, cache: CacheId, position: usize, ids: &[i32]) -> Result<(), ExecError> {
        self.submit_held();
        let PagedSequence { memory, number, .. } = self.sequences.get(cache)?;
        memory.record(&self.gpu, number, position, ids);
        Ok(())
    }

    fn kernel_sources(&self) -> Vec<(String, String)> {
        let mut sources = self.kernels();
        sources.sort();
        sources
    }

    fn counters(&self) -> Counters {
        Counters {
            buffers: self.gpu.allocated.buffers(),
            pipelines: self.pipelines.made() as u64,
            bind_groups: self.groups.made(),
            command_buffers: self.gpu.recorded.load(Ordering::Relaxed),
            device_bytes: self.gpu.allocated.bytes(),
            peak_device_bytes: self.gpu.allocated.peak(),
            ..self.counters
        }
    }
}

/// By `CacheIdx`: the memory of the first segment's cache, and the sequences of all segments.
fn run_caches<'a>(sequences: &'a Sequences<Memory>, args: &RunArgs) -> Vec<RunCache<'a>> {
    let of_cache = |(i, used): (usize, &crate::graph::CacheUse)| {
        let memory = sequences.get(used.cache).ok()?.memory;
        let of_segment = |segment: &crate::graph::Segment| {
            let PagedSequence { number, table, .. } = sequences.get(segment.caches.get(i)?.cache).ok()?;
            Some((number, table))
        };
        Some(RunCache { memory, sequences: args.segments.iter().filter_map(of_segment).collect() })
    };
    args.caches().iter().enumerate().filter_map(of_cache).collect()
}

fn no_program(program: ProgramId) -> ExecError {
    unsupported(format!("there is no program {}", program.0))
}

fn unsupported(message: String) -> ExecError {
    ExecError::Unsupported { message, origin: Origin::default() }
}

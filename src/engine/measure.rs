//! Measuring a model as chat runs it: the generator's own loop, greedy, ends ignored.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bench::{ContextPoint, Cost, DeviceShare, KernelTime, Phase, Report, Summary, plan_cost, step_cost};
use crate::explain::kernel_name;
use crate::graph::{Binding, CacheUse, Compiled, KvType, RunArgs, Sampling, TuneReport};
use crate::model::{Generator, StepPrograms, Timing};
use crate::plan::{Plan, Step};
use crate::tensor::HostTensor;
use crate::text::TokenId;

use super::steps::ModelSteps;
use super::{Backend, EngineError, LoadedModel};

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchRequest {
    pub prompt_tokens: usize,
    pub new_tokens: usize,
    /// Measurements of each.
    pub runs: usize,
    /// Each kernel of a decode step after the prompt; without new tokens, of a prefill run.
    pub kernels: bool,
    /// Decoding with more and more tokens in the cache.
    pub over_context: bool,
    /// A decode step through the generate loop and straight from its recording.
    pub recording: bool,
    /// Decoding of so many sequences together.
    pub batches: Vec<usize>,
    /// First measure the shapes of the decode step's kernels, and keep the best.
    pub tune: bool,
}

/// Decoded tokens of a point over context.
const POINT_TOKENS: usize = 32;

/// A measurement is repeated, and its time the mean, until it has taken this long: a machine's clock rate and its other work change within less.
const MEASUREMENT_LEAST: Duration = Duration::from_millis(250);

/// Runs before those that count, at most: until the prefill chunk has its size.
const WARM_UPS_MAX: usize = 4;

/// A warm-up, or a run whose kernels are timed, is not repeated where it takes longer: what a first run makes is little beside that.
const RUN_LONG: Duration = Duration::from_secs(3);

/// Measures `model`, whose loading has taken `load_seconds` so far. `on_progress` hears what is being measured.
///
/// # Errors
/// Those of generating.
pub fn measure(
    model: &LoadedModel,
    backend: &Backend,
    request: &BenchRequest,
    loading_since: Instant,
    mut on_progress: impl FnMut(&str),
) -> Result<Report, EngineError> {
    on_progress("loading");
    let mut generator = model.generator(0)?;
    generator.programs_mut().step(1, 0)?;
    model.executor.lock().finish()?;
    let load_seconds = loading_since.elapsed().as_secs_f64();
    on_progress("bandwidth");
    let moved = backend.executor.lock().bandwidth()?;
    let bandwidth = moved.map(|b| b.read);
    let mut bench = Bench { model, backend, generator, bandwidth, plans: HashMap::new() };
    let mut report = Report {
        model: model.file().path().file_name().map_or_else(|| model.config.name.clone(), |n| n.to_string_lossy().into_owned()),
        model_bytes: model.file().tensors().tensors().iter().map(|t| t.len_bytes as u64).sum(),
        backend: model.executor.lock().describe(),
        precise: backend.precise,
        kv: match bench.generator.context().spec().kv_type {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Q8_0 => "q8_0",
        }
        .to_owned(),
        bandwidth_bytes_per_second: bandwidth,
        copy_bytes_per_second: moved.map(|b| b.copy),
        load_seconds: Some(Summary::of(&[load_seconds])),
        ..Report::default()
    };
    if request.tune {
        report.tuning = bench.tune(&mut on_progress)?;
    }
    let runs = request.runs.max(1);
    bench.phases(request, runs, &mut report, &mut on_progress)?;
    if request.kernels {
        on_progress("kernels");
        bench.kernels(request, runs, &mut report)?;
    }
    if request.recording {
        bench.step_paths(request.new_tokens.max(1), runs, &mut report, &mut on_progress)?;
    }
    if request.over_context {
        bench.over_context(request.new_tokens.clamp(1, POINT_TOKENS), runs.min(3), &mut report, &mut on_progress)?;
    }
    bench.batches(&request.batches, runs, &mut report, &mut on_progress)?;
    let counters = model.executor.lock().counters();
    report.device_bytes = Some(counters.device_bytes);
    report.peak_device_bytes = Some(counters.peak_device_bytes);
    Ok(report)
}

pub(super) struct Bench<'a> {
    pub(super) model: &'a LoadedModel,
    backend: &'a Backend,
    pub(super) generator: Generator<ModelSteps>,
    bandwidth: Option<f64>,
    /// By the tokens of the step.
    plans: HashMap<usize, Plan>,
}

impl Bench<'_> {
    /// Feeds `ids` to an empty cache and generates `n`.
    fn generate(&mut self, ids: &[TokenId], n: usize) -> Result<Timing, EngineError> {
        self.generator.context_mut().clear();
        let go_on = |_| ControlFlow::Continue(());
        let (_, timing) = self.generator.generate(ids, Sampling::default(), n, |_| false, go_on, |_| ControlFlow::Continue(()))?;
        Ok(timing)
    }

    /// The same, waited for.
    fn seconds(&mut self, ids: &[TokenId], n: usize) -> Result<f64, EngineError> {
        let start = Instant::now();
        self.generate(ids, n)?;
        self.model.executor.lock().finish()?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn warm_up(&mut self, ids: &[TokenId]) -> Result<(), EngineError> {
        for _ in 0..WARM_UPS_MAX {
            let chunk = self.generator.chunk();
            let took = self.seconds(ids, 1)?;
            if self.generator.chunk() == chunk || took > RUN_LONG.as_secs_f64() {
                break;
            }
        }
        Ok(())
    }

    fn plan(&mut self, n_tokens: usize) -> Result<&Plan, EngineError> {
        if !self.plans.contains_key(&n_tokens) {
            let plan = self.model.plan(n_tokens, &self.backend.target)?;
            self.plans.insert(n_tokens, plan);
        }
        Ok(&self.plans[&n_tokens])
    }

    /// Prefill, time to the first token and decode in turn, so that the range of each spans the whole measurement and what the machine does
    /// meanwhile.
    fn phases(
        &mut self,
        request: &BenchRequest,
        runs: usize,
        report: &mut Report,
        on_progress: &mut impl FnMut(&str),
    ) -> Result<(), EngineError> {
        let (n_prompt, n_new) = (request.prompt_tokens, request.new_tokens);
        let (ids, one) = (prompt(n_prompt, self.model.config.vocab_len), prompt(1, self.model.config.vocab_len));
        if n_prompt > 0 {
            on_progress("prefill");
            self.warm_up(&ids)?;
        }
        if n_new > 0 {
            self.generate(&one, n_new.min(8))?;
        }
        let (mut prefill, mut first, mut decode) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            if n_prompt > 0 {
                on_progress("prefill");
                prefill.push(mean(|| self.seconds(&ids, 0))?);
                first.push(mean(|| Ok(self.generate(&ids, 1)?.prefill.as_secs_f64()))?);
            }
            if n_new > 0 {
                on_progress("decode");
                // `n_new` tokens after the first one, from an empty cache on.
                decode.push(mean(|| Ok(self.generate(&one, n_new + 1)?.decode.as_secs_f64()))?);
            }
        }
        if n_prompt > 0 {
            let chunk = self.generator.chunk();
            let mut cost = Cost::default();
            for start in (0..n_prompt).step_by(chunk) {
                let len = chunk.min(n_prompt - start);
                cost = cost + plan_cost(self.plan(len)?, len, start);
            }
            report.prefill = Some(Phase::new(n_prompt, &prefill, cost, self.bandwidth));
            report.time_to_first_token_seconds = Some(Summary::of(&first));
        }
        if n_new > 0 {
            let plan = self.plan(1)?;
            let cost = (1..=n_new).map(|cached| plan_cost(plan, 1, cached)).sum();
            report.decode = Some(Phase::new(n_new, &decode, cost, self.bandwidth));
            if self.model.executor.lock().watch_runs() {
                self.generate(&one, n_new + 1)?;
                let watched = self.model.executor.lock().watched_runs()?;
                report.decode_device = watched.as_ref().and_then(DeviceShare::new);
            }
        }
        Ok(())
    }

    fn kernels(&mut self, request: &BenchRequest, runs: usize, report: &mut Report) -> Result<(), EngineError> {
        let chunk = self.generator.chunk();
        let (n_tokens, before) =
            if request.new_tokens > 0 { (1, request.prompt_tokens) } else { (request.prompt_tokens.min(chunk).max(1), 0) };
        report.kernels = self.timed(n_tokens, before, runs, &mut report.kernels_timed_by)?;
        // The ceiling of arithmetic: what the fastest matrix kernel of a whole chunk gives.
        let wide = self.timed(chunk, 0, runs, &mut report.kernels_timed_by)?;
        let matrices = wide.iter().chain(&report.kernels).filter(|k| k.name.contains("linear"));
        report.peak_flops_per_second = matrices.map(KernelTime::flops_per_second).reduce(f64::max).filter(|&peak| peak > 0.0);
        Ok(())
    }

    fn tune(&mut self, on_progress: &mut impl FnMut(&str)) -> Result<Option<TuneReport>, EngineError> {
        let (step, args) = self.one_run(0, 1)?;
        let mut progress = |done: usize, all: usize| on_progress(&format!("kernel shape {done} of {all}"));
        Ok(self.model.executor.lock().tune(step.program, &args, &mut progress)?)
    }

    /// The step and arguments of a run of `n_tokens` after `before` others, which are fed first.
    pub(super) fn one_run(&mut self, before: usize, n_tokens: usize) -> Result<(Arc<Compiled>, RunArgs), EngineError> {
        let ids = prompt(before + n_tokens, self.model.config.vocab_len);
        self.generator.context_mut().clear();
        if before > 0 {
            self.generate(&ids[..before], 0)?;
        }
        let step = self.generator.programs_mut().step(n_tokens, before)?;
        let mut rows: Vec<i32> = ids[before..].iter().map(|id| id.0 as i32).collect();
        rows.resize(step.rows, 0);
        let tokens = Binding::Host(HostTensor::i32([step.rows], rows).into());
        let args = step.args(tokens, CacheUse { cache: self.generator.cache(), position: before }, n_tokens, Sampling::default());
        Ok((step, args))
    }

    /// The kernels of a run of `n_tokens` after `before` others; none where they cannot be timed.
    fn timed(
        &mut self,
        n_tokens: usize,
        before: usize,
        runs: usize,
        timed_by: &mut Option<String>,
    ) -> Result<Vec<KernelTime>, EngineError> {
        let (step, args) = self.one_run(before, n_tokens)?;
        let mut times = Vec::with_capacity(runs + 1);
        for _ in 0..=runs {
            let start = Instant::now();
            let Some(run) = self.model.executor.lock().run_timed(step.program, &args)? else { return Ok(Vec::new()) };
            *timed_by = Some(run.timed_by);
            times.push(run.steps);
            if start.elapsed() > RUN_LONG {
                break;
            }
        }
        // The first run is not counted where others follow: its buffers and bind groups may be new.
        if times.len() > 1 {
            times.remove(0);
        }
        Ok(by_kernel(self.plan(n_tokens)?, &times, n_tokens, before))
    }

    fn over_context(&mut self, n: usize, runs: usize, report: &mut Report, on_progress: &mut impl FnMut(&str)) -> Result<(), EngineError> {
        let window = self.generator.context().spec().window;
        let contexts = std::iter::once(0).chain((8..).map(|k| 1usize << k)).take_while(|c| c + n < window);
        for context in contexts.collect::<Vec<_>>() {
            on_progress(&format!("decode after {context} tokens"));
            let ids = prompt(context + 1, self.model.config.vocab_len);
            let once = |_| mean(|| Ok(self.generate(&ids, n + 1)?.decode.as_secs_f64()));
            let seconds = (0..runs).map(once).collect::<Result<Vec<f64>, _>>()?;
            report.decode_over_context.push(ContextPoint { context, tokens_per_second: Summary::of(&seconds).rate(n as f64) });
        }
        Ok(())
    }
}

/// The mean seconds of as many repetitions as take long enough to be measured.
fn mean(mut once: impl FnMut() -> Result<f64, EngineError>) -> Result<f64, EngineError> {
    let start = Instant::now();
    let (mut sum, mut n) = (0.0, 0);
    while n == 0 || start.elapsed() < MEASUREMENT_LEAST {
        sum += once()?;
        n += 1;
    }
    Ok(sum / f64::from(n))
}

/// The times of each run's steps, added up by kernel and weight type. Runs whose steps are not the plan's are named by the steps alone.
fn by_kernel(plan: &Plan, times: &[Vec<(String, Duration)>], n_tokens: usize, cached: usize) -> Vec<KernelTime> {
    let n_steps = times.first().map_or(0, Vec::len);
    let of_plan = n_steps == plan.steps.len();
    let mut order: Vec<String> = Vec::new();
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for i in 0..n_steps {
        let name = if of_plan { kernel_group(plan, &plan.steps[i]) } else { times[0][i].0.clone() };
        let group = groups.entry(name.clone()).or_default();
        if group.is_empty() {
            order.push(name);
        }
        group.push(i);
    }
    let kernel = |name: String| {
        let steps = &groups[&name];
        let seconds: Vec<f64> =
            times.iter().map(|run| steps.iter().filter_map(|&i| run.get(i)).map(|(_, t)| t.as_secs_f64()).sum()).collect();
        let cost: Cost =
            if of_plan { steps.iter().map(|&i| step_cost(plan, &plan.steps[i], n_tokens, cached)).sum() } else { Cost::default() };
        KernelTime { calls: steps.len(), seconds: Summary::of(&seconds), bytes: cost.bytes, flops: cost.flops, name }
    };
    order.into_iter().map(kernel).collect()
}

/// `linear → gated, q4_0`
fn kernel_group(plan: &Plan, step: &Step) -> String {
    let name = kernel_name(&step.kernel);
    match step.kernel.placement() {
        Some(placed) => format!("{name}, {}", plan.placements[placed.0 as usize].dtype()),
        None => name,
    }
}

/// Fixed ids without a pattern: a linear congruential generator (Knuth's MMIX constants) from a seed of 1.
pub(super) fn prompt(n: usize, vocab_len: usize) -> Vec<TokenId> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        TokenId(((state >> 33) % vocab_len.max(1) as u64) as u32)
    };
    (0..n).map(|_| next()).collect()
}

//! Measuring a model as chat runs it: the generator's own loop, greedy, ends ignored.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::bench::{ContextPoint, Cost, KernelTime, Phase, Report, Summary, plan_cost, step_cost};
use crate::explain::kernel_name;
use crate::graph::{Binding, CacheUse, KvType, RunArgs, Sampling};
use crate::model::{Generator, StepPrograms, Timing};
use crate::plan::{Plan, Step};
use crate::tensor::HostTensor;
use crate::text::TokenId;

use super::steps::ModelSteps;
use super::{Backend, EngineError, LoadedModel};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchRequest {
    pub prompt_tokens: usize,
    pub new_tokens: usize,
    /// Measurements of each.
    pub runs: usize,
    /// Each kernel of a decode step after the prompt; without new tokens, of a prefill run.
    pub kernels: bool,
    /// Decoding with more and more tokens in the cache.
    pub over_context: bool,
}

/// Decoded tokens of a point over context.
const POINT_TOKENS: usize = 32;

/// Runs before those that count, at most: until the prefill chunk has its size.
const WARM_UPS_MAX: usize = 4;

/// A warm-up that takes longer is not repeated.
const WARM_UP_LONG: Duration = Duration::from_secs(3);

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
    model.executor.borrow_mut().finish()?;
    let load_seconds = loading_since.elapsed().as_secs_f64();
    on_progress("bandwidth");
    let bandwidth = backend.executor.borrow_mut().read_bandwidth()?;
    let mut bench = Bench { model, backend, generator, bandwidth, plans: HashMap::new() };
    let mut report = Report {
        model: model.file().path().file_name().map_or_else(|| model.config.name.clone(), |n| n.to_string_lossy().into_owned()),
        model_bytes: model.file().tensors().tensors().iter().map(|t| t.len_bytes as u64).sum(),
        backend: model.executor.borrow().describe(),
        precise: backend.precise,
        kv: match bench.generator.context().spec().kv_type {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Q8_0 => "q8_0",
        }
        .to_owned(),
        bandwidth_bytes_per_second: bandwidth,
        load_seconds: Some(Summary::of(&[load_seconds])),
        ..Report::default()
    };
    let runs = request.runs.max(1);
    if request.prompt_tokens > 0 {
        on_progress("prefill");
        bench.prefill(request.prompt_tokens, runs, &mut report)?;
    }
    if request.new_tokens > 0 {
        on_progress("decode");
        report.decode = Some(bench.decode(request.new_tokens, runs)?);
    }
    if request.kernels {
        on_progress("kernels");
        bench.kernels(request, runs, &mut report)?;
    }
    if request.over_context {
        bench.over_context(request.new_tokens.clamp(1, POINT_TOKENS), runs.min(3), &mut report, &mut on_progress)?;
    }
    let counters = model.executor.borrow().counters();
    report.device_bytes = Some(counters.device_bytes);
    report.peak_device_bytes = Some(counters.peak_device_bytes);
    Ok(report)
}

struct Bench<'a> {
    model: &'a LoadedModel,
    backend: &'a Backend,
    generator: Generator<ModelSteps>,
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
        self.model.executor.borrow_mut().finish()?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn warm_up(&mut self, ids: &[TokenId]) -> Result<(), EngineError> {
        for _ in 0..WARM_UPS_MAX {
            let chunk = self.generator.chunk();
            let took = self.seconds(ids, 1)?;
            if self.generator.chunk() == chunk || took > WARM_UP_LONG.as_secs_f64() {
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

    fn prefill(&mut self, n: usize, runs: usize, report: &mut Report) -> Result<(), EngineError> {
        let ids = prompt(n, self.model.config.vocab_len);
        self.warm_up(&ids)?;
        let seconds = (0..runs).map(|_| self.seconds(&ids, 0)).collect::<Result<Vec<f64>, _>>()?;
        let chunk = self.generator.chunk();
        let mut cost = Cost::default();
        for start in (0..n).step_by(chunk) {
            let len = chunk.min(n - start);
            cost = cost + plan_cost(self.plan(len)?, len, start);
        }
        report.prefill = Some(Phase::new(n, &seconds, cost, self.bandwidth));
        let first = (0..runs).map(|_| Ok(self.generate(&ids, 1)?.prefill.as_secs_f64())).collect::<Result<Vec<f64>, EngineError>>()?;
        report.time_to_first_token_seconds = Some(Summary::of(&first));
        Ok(())
    }

    /// `n` tokens after the first one, from an empty cache on.
    fn decode(&mut self, n: usize, runs: usize) -> Result<Phase, EngineError> {
        let ids = prompt(1, self.model.config.vocab_len);
        self.generate(&ids, n.min(8))?;
        let seconds = (0..runs).map(|_| Ok(self.generate(&ids, n + 1)?.decode.as_secs_f64())).collect::<Result<Vec<f64>, EngineError>>()?;
        let plan = self.plan(1)?;
        let cost = (1..=n).map(|cached| plan_cost(plan, 1, cached)).sum();
        Ok(Phase::new(n, &seconds, cost, self.bandwidth))
    }

    fn kernels(&mut self, request: &BenchRequest, runs: usize, report: &mut Report) -> Result<(), EngineError> {
        let is_decode = request.new_tokens > 0;
        let n_tokens = if is_decode { 1 } else { request.prompt_tokens.min(self.generator.chunk()).max(1) };
        let before = if is_decode { request.prompt_tokens } else { 0 };
        let ids = prompt(before + n_tokens, self.model.config.vocab_len);
        self.generator.context_mut().clear();
        if before > 0 {
            self.generate(&ids[..before], 0)?;
        }
        let (program, bucket) = self.generator.programs_mut().step(n_tokens, before)?;
        let mut rows: Vec<i32> = ids[before..].iter().map(|id| id.0 as i32).collect();
        rows.resize(bucket, 0);
        let args = RunArgs {
            inputs: vec![Binding::Host(HostTensor::i32([bucket], rows).into())],
            literals: Vec::new(),
            caches: vec![CacheUse { cache: self.generator.cache(), position: before }],
            n_tokens,
            sampling: Sampling::default(),
        };
        let mut times = Vec::with_capacity(runs);
        // The first run is not counted: its buffers and bind groups may be new.
        for _ in 0..=runs {
            match self.model.executor.borrow_mut().run_timed(program, &args)? {
                Some(run) => {
                    report.kernels_timed_by = Some(run.timed_by);
                    times.push(run.steps);
                }
                None => return Ok(()),
            }
        }
        times.remove(0);
        let plan = self.plan(n_tokens)?;
        report.kernels = by_kernel(plan, &times, n_tokens, before);
        Ok(())
    }

    fn over_context(&mut self, n: usize, runs: usize, report: &mut Report, on_progress: &mut impl FnMut(&str)) -> Result<(), EngineError> {
        let window = self.generator.context().spec().window;
        let contexts = std::iter::once(0).chain((8..).map(|k| 1usize << k)).take_while(|c| c + n < window);
        for context in contexts.collect::<Vec<_>>() {
            on_progress(&format!("decode after {context} tokens"));
            let ids = prompt(context + 1, self.model.config.vocab_len);
            let mut seconds = Vec::with_capacity(runs);
            for _ in 0..runs {
                seconds.push(self.generate(&ids, n + 1)?.decode.as_secs_f64());
            }
            report.decode_over_context.push(ContextPoint { context, tokens_per_second: Summary::of(&seconds).rate(n as f64) });
        }
        Ok(())
    }
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
fn prompt(n: usize, vocab_len: usize) -> Vec<TokenId> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        TokenId(((state >> 33) % vocab_len.max(1) as u64) as u32)
    };
    (0..n).map(|_| next()).collect()
}

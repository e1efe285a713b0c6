//! Looking into one run of a model: the values of its steps, and the plan of a step.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::graph::{Binding, CacheUse, CompileOptions, ExecError, RunArgs, Sampling};
use crate::lang::{ModelSource, TraceSpec};
use crate::model::{GenerateError, Generator};
use crate::plan::{self, Plan, PlanError, Target};
use crate::tensor::HostTensor;
use crate::text::TokenId;
use crate::trace::{Request, Select, Trace, TraceError, record};

use super::model::CHUNK_MAX;
use super::steps::{ModelSteps, placed};
use super::{EngineError, LoadedModel};

/// A run of a model and the part of it that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePoint {
    /// All that is fed, in order.
    pub ids: Vec<TokenId>,
    /// How many of them are the prompt; the others are fed one by one, as generating does.
    pub n_prompt: usize,
    /// The first that is looked at.
    pub position: usize,
}

impl TracePoint {
    /// The run of a prompt, or of its last tokens where it takes several runs.
    pub fn of_prompt(ids: Vec<TokenId>) -> Self {
        TracePoint { n_prompt: ids.len(), position: ids.len().saturating_sub(CHUNK_MAX), ids }
    }
}

impl LoadedModel {
    /// The step that feeds generated token `n`, counted from 1, of the greedy continuation of `prompt`.
    ///
    /// # Errors
    /// Those of generating.
    pub fn decode_point(&self, prompt: Vec<TokenId>, n: usize) -> Result<TracePoint, EngineError> {
        let mut ids = prompt;
        let n_prompt = ids.len();
        let mut generated = Vec::new();
        let on_token = |id| {
            generated.push(id);
            ControlFlow::Continue(())
        };
        self.generator(0)?.generate(&ids, Sampling::default(), n, |_| false, |_| ControlFlow::Continue(()), on_token)?;
        ids.extend(generated);
        Ok(TracePoint { n_prompt, position: ids.len() - 1, ids })
    }

    /// The values of a run's steps, on a cache of its own. Fusion is off in the run that is looked at, not in those before it.
    ///
    /// # Errors
    /// Those of the program and the backend, and a layer that is not there.
    pub fn trace_values(&self, point: &TracePoint, select: Select, layer_idx: Option<usize>) -> Result<Trace, EngineError> {
        let mut generator = self.generator(0)?;
        feed(&mut generator, point)?;
        if point.position >= point.ids.len() {
            return Err(GenerateError::EmptyPrompt.into());
        }
        let mut exact = false;
        loop {
            if let Some(mut trace) = self.trace_run(&generator, point, select, layer_idx, exact)? {
                trace.history = point.ids[..point.position].iter().map(|id| id.0 as i32).collect();
                trace.weights = self.source.weight_names().filter_map(|name| self.source.weight(name)).collect();
                return Ok(trace);
            }
            exact = true;
        }
    }

    /// `None`, and never with `exact`: a bucket of tokens would be wrong, the run must be made for the exact number.
    fn trace_run(
        &self,
        generator: &Generator<ModelSteps>,
        point: &TracePoint,
        select: Select,
        layer_idx: Option<usize>,
        exact: bool,
    ) -> Result<Option<Trace>, EngineError> {
        let fed: Vec<i32> = point.ids[point.position..].iter().map(|id| id.0 as i32).collect();
        let spec = *generator.context().spec();
        let bucket = if exact { fed.len() } else { fed.len().next_power_of_two() };
        let mut traced = self.trace(&TraceSpec { bucket, slots: spec.slots, last_only: false, sample: false, position: point.position })?;
        if exact {
            traced.graph.take_tokens_as_exact();
        } else if traced.pinned.is_some() {
            return Ok(None);
        }
        let n_tokens = fed.len();
        let mut rows = fed;
        rows.resize(bucket, 0);
        let args = RunArgs {
            inputs: vec![Binding::Host(Arc::new(HostTensor::i32([bucket], rows)))],
            literals: Vec::new(),
            caches: vec![CacheUse { cache: generator.cache(), position: point.position }],
            n_tokens,
            sampling: Sampling::default(),
        };
        let request = Request { graph: &traced.graph, outputs: &[traced.output], caches: &[spec], select, layer_idx };
        match record(&request, &args, &mut *self.executor.borrow_mut()) {
            Ok(trace) => Ok(Some(trace)),
            Err(TraceError::Exec(ExecError::MixesTokens { .. })) if !exact => Ok(None),
            Err(TraceError::Exec(error)) => Err(placed(error, &self.program().borrow())),
            Err(error) => Err(error.into()),
        }
    }

    /// The plan of a step of `n_tokens` that samples, as generating runs it, with the rows of its token input.
    ///
    /// # Errors
    /// Those of the program, and ops that no kernel takes.
    pub fn plan(&self, n_tokens: usize, target: &Target) -> Result<Plan, EngineError> {
        let spec = self.cache_spec(0, CHUNK_MAX)?;
        let mut exact = false;
        loop {
            let bucket = if exact { n_tokens } else { n_tokens.next_power_of_two() };
            let mut traced = self.trace(&TraceSpec { bucket, slots: spec.slots, last_only: true, sample: true, position: 0 })?;
            if exact {
                traced.graph.take_tokens_as_exact();
            } else if traced.pinned.is_some() {
                exact = true;
                continue;
            }
            let options = CompileOptions { fuse: true, caches: vec![spec] };
            match plan::compile(&traced.graph, &[traced.output], &options, target) {
                Ok(plan) => return Ok(plan),
                Err(PlanError::MixesTokens { .. }) if !exact => exact = true,
                Err(error) => return Err(placed(error.into(), &self.program().borrow())),
            }
        }
    }
}

/// Feeds what comes before the run that is looked at.
fn feed(generator: &mut Generator<ModelSteps>, point: &TracePoint) -> Result<(), EngineError> {
    let (prompt, generated) = point.ids[..point.position].split_at(point.n_prompt.min(point.position));
    let runs = [prompt].into_iter().filter(|p| !p.is_empty()).chain(generated.chunks(1));
    for ids in runs {
        let go_on = |_| ControlFlow::Continue(());
        generator.generate(ids, Sampling::default(), 0, |_| false, go_on, |_| ControlFlow::Continue(()))?;
    }
    Ok(())
}

//! Looking into one run of a model: the values of its steps, and the plan of a step.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::graph::{Binding, CacheUse, CompileOptions, RunArgs, Sampling, Segment, TokenDim};
use crate::lang::{ModelSource, StepOutput};
use crate::model::{GenerateError, Generator};
use crate::plan::{self, Plan, Target};
use crate::tensor::HostTensor;
use crate::text::TokenId;
use crate::trace::{Request, Select, Trace, TraceError, record, with_unread_steps};

use super::code::Wanted;
use super::model::CHUNK_MAX;
use super::steps::ModelSteps;
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
        let mut trace = self.trace_run(&generator, point, select, layer_idx)?;
        trace.history = point.ids[..point.position].iter().map(|id| id.0 as i32).collect();
        trace.weights = self.source.weight_names().filter_map(|name| self.source.weight(name)).collect();
        Ok(trace)
    }

    fn trace_run(
        &self,
        generator: &Generator<ModelSteps>,
        point: &TracePoint,
        select: Select,
        layer_idx: Option<usize>,
    ) -> Result<Trace, EngineError> {
        let mut rows: Vec<i32> = point.ids[point.position..].iter().map(|id| id.0 as i32).collect();
        let (n_tokens, spec) = (rows.len(), *generator.context().spec());
        let wanted = Wanted {
            n_tokens,
            position: point.position,
            n_positions: spec.n_positions(),
            window: spec.window,
            output: StepOutput::Logits,
            exact: false,
        };
        let mut traced = self.trace_step(&wanted)?;
        let mut outputs = with_unread_steps(&traced.graph, traced.output);
        let mut bucket = self.code.rows(n_tokens);
        // A variable that nothing reads leaves the run's bucket alone, but what it holds of padding is nothing to show.
        if traced.graph.subgraph(&outputs).0.token_dims().contains(&TokenDim::Mixed) {
            traced = self.trace_step(&Wanted { exact: true, ..wanted })?;
            outputs = with_unread_steps(&traced.graph, traced.output);
            bucket = n_tokens;
        }
        rows.resize(bucket, 0);
        let ids = Binding::Host(Arc::new(HostTensor::i32([bucket], rows)));
        let cache = CacheUse { cache: generator.cache(), position: point.position };
        let segment = Segment { caches: vec![cache], n_tokens, sampling: Sampling::default() };
        let args = RunArgs::of(std::iter::once(ids).chain(traced.constants.iter().cloned()).collect(), segment);
        let request = Request { graph: &traced.graph, outputs: &outputs, caches: &[spec], select, layer_idx };
        let mut executor = self.executor.lock();
        let recorded = record(&request, &args, &mut *executor);
        // Placing an error takes the program, which whoever traces holds while it takes the executor.
        drop(executor);
        let mut trace = recorded.map_err(|error| match error {
            TraceError::Exec(error) => self.code.placed(error),
            error => error.into(),
        })?;
        // A diagnosis computes steps again by the definition, which has no device.
        for input in &mut trace.args.inputs {
            if let Binding::Device(tensor) = input {
                *input = Binding::Host(Arc::new(self.executor.lock().read(tensor)?));
            }
        }
        Ok(trace)
    }

    /// The plan of a step of `n_tokens` that samples, as generating runs it, with the rows of its token input.
    ///
    /// # Errors
    /// Those of the program, and ops that no kernel takes.
    pub fn plan(&self, n_tokens: usize, target: &Target) -> Result<Plan, EngineError> {
        let spec = self.cache_spec(0, CHUNK_MAX)?;
        let wanted =
            Wanted { n_tokens, position: 0, n_positions: spec.n_positions(), window: spec.window, output: StepOutput::Drawn, exact: false };
        let traced = self.trace_step(&wanted)?;
        let options = CompileOptions { fuse: true, caches: vec![spec] };
        plan::compile(&traced.graph, &[traced.output], &options, target).map_err(|error| self.code.placed(error.into()))
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

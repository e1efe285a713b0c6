//! A model's program: `forward`, traced once a bucket into a graph that the engine compiles.

use std::io::Write;
use std::sync::Arc;

use crate::diag::{Color, Diagnostic, pictures};
use crate::graph::{BinaryOp, Binding, CacheIdx, Graph, NodeId, Op, Origin, RuntimeScalar, SharedExecutor};
use crate::source::{SourceMap, Span};

use super::host::{ModelCache, ModelHandle};
use super::interp::{Interp, Options};
use super::model::ModelSource;
use super::session::Tensor;
use super::trace::{CacheShape, TraceState};
use super::value::Value;

/// A model's program with the file it is of. Loading it runs its top-level statements, where hyper-parameters are read.
pub struct ModelProgram {
    interp: Interp,
    source: Arc<dyn ModelSource>,
    start: Span,
    counted: Option<Span>,
}

/// What a trace is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSpec {
    /// Rows of the token input; a run may use fewer.
    pub bucket: usize,
    /// Positions that the pages of the cache hold (`graph::CacheSpec::n_positions`).
    pub n_positions: usize,
    /// W of that cache (`graph::CacheSpec::window`): rotations whose angles depend on the sequence's length are made for it.
    pub window: usize,
    pub output: StepOutput,
    /// What a branch or a shape made from `cache.position` takes it to be; see [`Traced::pinned`].
    pub position: usize,
}

/// What a step gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepOutput {
    /// The logits of all tokens `[T, V]`.
    Logits,
    /// Those of the last true token `[V]`.
    LastLogits,
    /// The id drawn from the last token's logits, i32 `[1]`.
    Drawn,
    /// An id for each segment of a run of up to so many, i32 `[S]`. The tokens are those that the histories of the run's sequences hold.
    DrawnBySegment(usize),
    /// The logits of the last token of each segment `[S, V]`, of a run like that.
    LogitsBySegment(usize),
}

/// One trace of `forward`.
pub struct Traced {
    /// Input 0 is the token ids, `i32 [bucket]`, which nothing reads where they come from histories; cache 0 is the model's. Input `i + 1` is bound to `constants[i]` in every run.
    pub graph: Graph,
    /// Tensors of the program's own, which no run changes. Those on a device are on that of the program.
    pub constants: Vec<Binding>,
    /// The logits or the sampled id.
    pub output: NodeId,
    /// What the appends need of a cache; `None` when the model keeps none.
    pub cache: Option<CacheShape>,
    /// The position that the program looked at: the trace is good for this position and a full bucket alone.
    pub pinned: Option<usize>,
}

/// Why a program gives no graph: diagnostics with the sources to draw them.
#[derive(Debug)]
pub struct ProgramError {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: SourceMap,
}

impl std::fmt::Display for ProgramError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", pictures(&self.diagnostics, &self.sources, Color::Never).join("\n").trim_end())
    }
}

impl std::error::Error for ProgramError {}

impl ModelProgram {
    /// `name` is shown in diagnostics; `text` is the program. What it prints is not seen.
    ///
    /// # Errors
    /// Every error of the text, missing metadata and head counts that do not divide among them.
    pub fn load(name: &str, text: &str, source: Arc<dyn ModelSource>) -> Result<ModelProgram, ProgramError> {
        ModelProgram::load_with(Options::default(), name, text, source)
    }

    /// The same on an executor, which computes the tensors of the program's top level, once. They are constants of every trace. The program
    /// prints to `out`: its top-level statements once, `forward` at each trace.
    ///
    /// # Errors
    /// As `load`, and those of the executor.
    pub fn load_on(
        executor: SharedExecutor,
        name: &str,
        text: &str,
        source: Arc<dyn ModelSource>,
        out: Box<dyn Write + Send>,
    ) -> Result<ModelProgram, ProgramError> {
        ModelProgram::load_with(Options { executor: Some(executor), out: Some(out), ..Options::default() }, name, text, source)
    }

    fn load_with(options: Options, name: &str, text: &str, source: Arc<dyn ModelSource>) -> Result<ModelProgram, ProgramError> {
        let mut interp = match Interp::new(options) {
            Ok(interp) => interp,
            Err(diagnostics) => return Err(ProgramError { diagnostics, sources: SourceMap::new() }),
        };
        interp.provide_model(ModelHandle::traced(source.clone()));
        let folder = std::path::Path::new(name).parent().map(std::path::Path::to_owned);
        let ran = interp.run_source(name, text, folder.as_deref());
        let start = Span::new(interp.program, 0, 0);
        // The graph of the top level ends here: what its variables hold must have been computed by then.
        match ran.and_then(|()| interp.compute_globals(start)) {
            Ok(()) => Ok(ModelProgram { start, source, interp, counted: None }),
            Err(diagnostics) => Err(ProgramError { diagnostics, sources: interp.sources }),
        }
    }

    /// Interprets `forward(tokens, cache)` once, for a bucket of rows of which a run fills one or more. Warm steps run the graph without
    /// coming here.
    ///
    /// # Errors
    /// What the program's own errors are, with the place in the `.tl` file; also where it needs the number of tokens, not just a row for
    /// each (`counted_at`): whether anything is wrong with it only `trace_exact` tells.
    pub fn trace_forward(&mut self, spec: &TraceSpec) -> Result<Traced, ProgramError> {
        self.trace_for(spec, spec.bucket > 1)
    }

    /// The same for exactly as many tokens as the bucket has rows.
    ///
    /// # Errors
    /// What the program's own errors are.
    pub fn trace_exact(&mut self, spec: &TraceSpec) -> Result<Traced, ProgramError> {
        self.trace_for(spec, false)
    }

    /// What first depended on the number of tokens in the last trace for a bucket, where that was of no use.
    pub fn counted_at(&self) -> Option<Span> {
        self.counted
    }

    fn trace_for(&mut self, spec: &TraceSpec, is_bucket: bool) -> Result<Traced, ProgramError> {
        self.counted = None;
        let traced = self.trace(spec, is_bucket);
        if let Some(trace) = self.interp.session.trace.take()
            && let Some(origin) = trace.counted
        {
            let stopped_at = traced.as_ref().err().and_then(|diagnostics| diagnostics.first()?.span());
            self.counted = trace.mixed.and_then(|mixed| self.span_of(mixed)).or(stopped_at).or_else(|| self.span_of(origin));
        }
        match traced {
            Ok(traced) => Ok(traced),
            Err(diagnostics) => {
                self.interp.session.abandon();
                Err(ProgramError { diagnostics, sources: self.interp.sources.clone() })
            }
        }
    }

    fn trace(&mut self, spec: &TraceSpec, is_bucket: bool) -> Result<Traced, Vec<Diagnostic>> {
        let start = self.start;
        let session = &mut self.interp.session;
        session.abandon();
        session.trace = Some(TraceState {
            n_positions: spec.n_positions,
            window: spec.window,
            position: spec.position,
            n_tokens: spec.bucket,
            is_bucket,
            ..TraceState::default()
        });
        session.set_place(start);
        let mut tokens = session.graph_mut().tokens_input(spec.bucket);
        if let StepOutput::DrawnBySegment(_) | StepOutput::LogitsBySegment(_) = spec.output {
            tokens = session.graph_mut().recorded_tokens(spec.bucket, CacheIdx(0));
        }
        let fail = |fault: super::value::Fault| vec![Diagnostic::error(fault.into_parts().message).at(start)];
        let tokens = session.adopt(tokens).map_err(fail)?;
        let logits = self.interp.call_function("forward", vec![Value::Tensor(tokens), Value::Cache(ModelCache::Traced)], start)?;
        let Value::Tensor(logits) = logits else {
            return Err(vec![Diagnostic::error(format!("`forward` gives logits (T, V), not {}", logits.type_name())).at(start)]);
        };
        if logits.shape().rank() != 2 || logits.shape()[0] != spec.bucket {
            return Err(vec![Diagnostic::error(format!("`forward` gives logits ({}, V), not {}", spec.bucket, logits.shape())).at(start)]);
        }
        let output = self.finish(spec, &logits).map_err(|fault| vec![Diagnostic::error(fault.into_parts().message).at(start)])?;
        let session = &mut self.interp.session;
        let trace = session.trace.as_ref();
        let (cache, pinned) = (trace.and_then(|t| t.cache), trace.filter(|t| t.is_pinned).map(|t| t.position));
        if let Some(origin) = trace.and_then(|t| t.counted) {
            let place = session.span_of(origin).unwrap_or(start);
            return Err(vec![Diagnostic::error("the number of tokens is known only for an exact number of rows").at(place)]);
        }
        Ok(Traced { output, constants: session.take_bindings(), cache, pinned, graph: session.take_graph() })
    }

    fn finish(&mut self, spec: &TraceSpec, logits: &Tensor) -> Result<NodeId, super::value::Fault> {
        let session = &mut self.interp.session;
        let logits = session.node(logits)?;
        if spec.output == StepOutput::Logits {
            return Ok(logits);
        }
        let graph = session.graph_mut();
        let count = graph.runtime_scalar(RuntimeScalar::TokenCount);
        let row = match spec.output {
            StepOutput::DrawnBySegment(rows) | StepOutput::LogitsBySegment(rows) => graph.add(Op::LastRows { rows }, &[logits])?,
            _ => {
                let one = graph.literal_i32(1);
                let last = graph.binary(BinaryOp::Sub, count, one)?;
                graph.add(Op::SelectRow, &[logits, last])?
            }
        };
        if let StepOutput::LastLogits | StepOutput::LogitsBySegment(_) = spec.output {
            return Ok(row);
        }
        let settings = graph.run_sampling();
        let position = graph.runtime_scalar(RuntimeScalar::Position(CacheIdx(0)));
        let next = graph.binary(BinaryOp::Add, position, count)?;
        Ok(graph.sample(row, settings, next, Some(CacheIdx(0)))?)
    }

    /// The names of the file's tensors that this trace does not compute with, that no statement of the program has read and that `ignore` does
    /// not name, by layer. A file that has some is another model than the program's.
    pub fn unused_tensors(&self, traced: &Traced) -> Vec<String> {
        let read = &self.interp.session.weights_read;
        self.interp.ignored.unused(&traced.graph, traced.output, read, &*self.source)
    }

    /// The place in the program that made a node.
    pub fn span_of(&self, origin: Origin) -> Option<Span> {
        self.interp.session.span_of(origin)
    }

    /// For drawing places and diagnostics.
    pub fn sources(&self) -> &SourceMap {
        &self.interp.sources
    }
}

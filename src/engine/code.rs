//! A model's program on an executor: the one place where its `forward` is traced and compiled.

use parking_lot::Mutex;

use crate::graph::{CacheSpec, CompileOptions, Compiled, ExecError, Origin, TokenDim};
use crate::lang::{ModelProgram, ProgramError, SharedExecutor, StepOutput, TraceSpec, Traced};
use crate::plan;
use crate::source::Span;

use super::EngineError;
use super::constants::Constants;

/// What a trace is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub n_tokens: usize,
    /// Of the run's first token.
    pub position: usize,
    /// Positions that the pages of the cache hold.
    pub n_positions: usize,
    /// W of the cache.
    pub window: usize,
    pub output: StepOutput,
    /// Rows for the tokens and no more, also where a bucket would do.
    pub exact: bool,
}

/// A program and what its steps share on the device.
pub struct ModelCode {
    pub(super) executor: SharedExecutor,
    pub(super) program: Mutex<ModelProgram>,
    constants: Mutex<Constants>,
    /// Why a bucket would be wrong for the program, so that every token count has a step of its own; `None` where one is right so far.
    exact: Mutex<Option<String>>,
    /// Rows that no token fills would be computed for nothing.
    computes_padding: bool,
}

impl ModelCode {
    pub(super) fn new(executor: SharedExecutor, program: ModelProgram) -> Self {
        let computes_padding = executor.lock().computes_padding();
        ModelCode { executor, program: Mutex::new(program), constants: Mutex::default(), exact: Mutex::default(), computes_padding }
    }

    /// Rows of the token input of a step for `n_tokens`.
    pub(super) fn rows(&self, n_tokens: usize) -> usize {
        let is_exact = self.computes_padding || self.exact.lock().is_some();
        if is_exact { n_tokens } else { n_tokens.next_power_of_two() }
    }

    /// What of the program needs a step of its own for each token count, with its place, as far as its traces have shown.
    pub fn exact(&self) -> Option<String> {
        self.exact.lock().clone()
    }

    /// One trace, for a bucket of rows where the program allows one. Its graph is compacted only by `compile`, so that it also has the steps
    /// that no output needs.
    ///
    /// # Errors
    /// Those of the program.
    pub(super) fn trace(&self, wanted: &Wanted) -> Result<Traced, ProgramError> {
        let Wanted { n_tokens, position, n_positions, window, output, exact } = *wanted;
        let spec = |bucket| TraceSpec { bucket, n_positions, window, output, position };
        let mut program = self.program.lock();
        let mut why = None;
        if !exact && self.exact.lock().is_none() {
            let bucket = self.rows(n_tokens);
            why = match program.trace_forward(&spec(bucket)) {
                Ok(traced) => match mixed(&traced, &program) {
                    None => return Ok(traced),
                    mixed => mixed,
                },
                Err(error) if bucket == 1 => return Err(error),
                // Whether it is an error for the exact number, too, the next trace tells.
                Err(_) => Some(match program.counted_at() {
                    Some(span) => format!("the program depends on the number of tokens{}", place(&program, Some(span))),
                    None => "the program takes no rows that have no token".to_owned(),
                }),
            };
        }
        let mut traced = program.trace_exact(&spec(n_tokens))?;
        traced.graph.take_tokens_as_exact();
        if why.is_some() {
            *self.exact.lock() = why;
        }
        Ok(traced)
    }

    /// A step ready to run on caches of these specifications.
    ///
    /// # Errors
    /// Those of the program and of the executor.
    pub(super) fn compile(&self, wanted: &Wanted, caches: &[CacheSpec]) -> Result<Compiled, EngineError> {
        let traced = self.trace(wanted)?;
        let rows = if wanted.exact { wanted.n_tokens } else { self.rows(wanted.n_tokens) };
        let (mut graph, outputs) = traced.graph.subgraph(&[traced.output]);
        let inputs = graph.compact_inputs(1);
        let options = CompileOptions { fuse: true, caches: caches.to_vec() };
        let compiled = self.executor.lock().compile(&graph, &outputs, &options);
        // Placing an error takes the program, which whoever traces holds while it takes the executor: here the executor is free again.
        let program = compiled.map_err(|e| self.placed(e))?;
        let mut constants = Vec::with_capacity(inputs.len() - 1);
        for id in &inputs[1..] {
            let constant = &traced.constants[id.0 as usize - 1];
            constants.push(self.constants.lock().place(&self.executor, constant)?);
        }
        Ok(Compiled { program, rows, literals: graph.literals().to_vec(), constants, pinned: traced.pinned })
    }

    /// The error with its place in the model's program.
    pub(super) fn placed(&self, error: ExecError) -> EngineError {
        let program = self.program.lock();
        match origin(&error).and_then(|o| program.span_of(o)) {
            Some(span) => {
                let diagnostic = crate::diag::Diagnostic::error(error.to_string()).at(span);
                EngineError::Exec { error, message: diagnostic.one_line(program.sources()), diagnostic: Some(Box::new(diagnostic)) }
            }
            None => error.into(),
        }
    }
}

/// Where rows of the bucket meet in what the output needs: some of them may not be true.
fn mixed(traced: &Traced, program: &ModelProgram) -> Option<String> {
    let (graph, _) = traced.graph.subgraph(&[traced.output]);
    let at = graph.token_dims().iter().position(|&dim| dim == TokenDim::Mixed)?;
    let node = graph.nodes().nth(at)?.1;
    let op = plan::op_name(&node.op);
    Some(format!("`{op}` mixes tokens{}", place(program, program.span_of(node.origin))))
}

/// ` at file:line:column`
fn place(program: &ModelProgram, span: Option<Span>) -> String {
    let sources = program.sources();
    let known = span.and_then(|span| Some((sources.file(span.file)?.name(), sources.location(span)?)));
    known.map_or_else(String::new, |(name, at)| format!(" at {name}:{}:{}", at.line, at.column))
}

fn origin(error: &ExecError) -> Option<Origin> {
    match error {
        ExecError::Unsupported { origin, .. } | ExecError::MixesTokens { origin, .. } | ExecError::Device { origin, .. } => Some(*origin),
        _ => None,
    }
}

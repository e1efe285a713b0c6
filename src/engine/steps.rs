//! The programs of a model's step: one a bucket, traced and compiled when first needed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::graph::{CacheSpec, CompileOptions, ExecError, Origin, ProgramId};
use crate::lang::{ModelProgram, SharedExecutor, TraceSpec};
use crate::model::StepPrograms;

use super::EngineError;

/// Traces and compiles the steps of one model for one cache shape.
pub struct ModelSteps {
    executor: SharedExecutor,
    program: Rc<RefCell<ModelProgram>>,
    spec: CacheSpec,
    /// By the rows of the token input.
    compiled: HashMap<usize, ProgramId>,
    /// Whether the program mixes tokens, so that a bucket would be wrong and every count has a program of its own.
    exact: bool,
    /// How often the program was interpreted: warm steps leave it alone.
    n_traces: u64,
}

impl ModelSteps {
    pub fn new(executor: SharedExecutor, program: Rc<RefCell<ModelProgram>>, spec: CacheSpec) -> Self {
        ModelSteps { executor, program, spec, compiled: HashMap::new(), exact: false, n_traces: 0 }
    }

    pub fn n_traces(&self) -> u64 {
        self.n_traces
    }

    /// Traces and compiles for `rows` rows. `None` as a program means that it cannot be done with a bucket. The flag says whether the program
    /// holds for other positions too.
    fn compile(&mut self, rows: usize, position: usize) -> Result<(Option<ProgramId>, bool), EngineError> {
        self.n_traces += 1;
        let spec = TraceSpec { bucket: rows, slots: self.spec.slots, last_only: true, sample: true, position };
        let mut traced = self.program.borrow_mut().trace_forward(&spec)?;
        let pinned = traced.pinned.is_some();
        if pinned && !self.exact {
            return Ok((None, false));
        }
        if self.exact {
            traced.graph.take_tokens_as_exact();
        }
        let options = CompileOptions { fuse: true, caches: vec![self.spec] };
        let compiled = self.executor.borrow_mut().compile(&traced.graph, &[traced.output], &options);
        match compiled {
            Ok(program) => Ok((Some(program), !pinned)),
            Err(ExecError::MixesTokens { .. }) if !self.exact => Ok((None, false)),
            Err(error) => Err(placed(error, &self.program.borrow())),
        }
    }
}

/// The error with its place in the model's program.
pub(super) fn placed(error: ExecError, program: &ModelProgram) -> EngineError {
    match origin(&error).and_then(|o| program.span_of(o)) {
        Some(span) => {
            let diagnostic = crate::diag::Diagnostic::error(error.to_string()).at(span);
            EngineError::Exec { message: diagnostic.one_line(program.sources()), diagnostic: Some(Box::new(diagnostic)) }
        }
        None => error.into(),
    }
}

fn origin(error: &ExecError) -> Option<Origin> {
    match error {
        ExecError::Unsupported { origin, .. } | ExecError::MixesTokens { origin, .. } | ExecError::Device { origin, .. } => Some(*origin),
        _ => None,
    }
}

impl StepPrograms for ModelSteps {
    type Error = EngineError;

    fn step(&mut self, n_tokens: usize, position: usize) -> Result<(ProgramId, usize), EngineError> {
        loop {
            let rows = if self.exact { n_tokens } else { n_tokens.next_power_of_two() };
            if let Some(&program) = self.compiled.get(&rows) {
                return Ok((program, rows));
            }
            match self.compile(rows, position)? {
                (Some(program), holds) => {
                    if holds {
                        self.compiled.insert(rows, program);
                    }
                    return Ok((program, rows));
                }
                (None, _) => self.exact = true,
            }
        }
    }
}

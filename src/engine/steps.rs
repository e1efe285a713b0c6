//! The steps of a model: one a bucket, traced and compiled when first needed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::{CacheSpec, Compiled, ProgramId, Unused};
use crate::model::StepPrograms;

use super::EngineError;
use super::code::{ModelCode, Wanted};

/// The steps of one model for one cache shape.
pub struct ModelSteps {
    code: Arc<ModelCode>,
    spec: CacheSpec,
    /// By the rows of the token input. A step that holds for one position alone is not among them.
    compiled: HashMap<usize, Arc<Compiled>>,
    /// The program of a run that no other run can use: it was made for one position alone.
    passing: Option<ProgramId>,
    /// How often the program was interpreted: warm steps leave it alone.
    n_traces: u64,
}

impl ModelSteps {
    pub(super) fn new(code: Arc<ModelCode>, spec: CacheSpec) -> Self {
        ModelSteps { code, spec, compiled: HashMap::new(), passing: None, n_traces: 0 }
    }

    pub fn n_traces(&self) -> u64 {
        self.n_traces
    }
}

impl Drop for ModelSteps {
    fn drop(&mut self) {
        let programs = self.compiled.values().map(|step| step.program).chain(self.passing);
        self.code.executor.let_go(programs.map(Unused::Program));
    }
}

impl StepPrograms for ModelSteps {
    type Error = EngineError;

    fn step(&mut self, n_tokens: usize, position: usize) -> Result<Arc<Compiled>, EngineError> {
        if let Some(step) = self.compiled.get(&self.code.rows(n_tokens)) {
            return Ok(step.clone());
        }
        self.n_traces += 1;
        let wanted =
            Wanted { n_tokens, position, n_positions: self.spec.n_positions(), window: self.spec.window, sample: true, exact: false };
        let step = Arc::new(self.code.compile(&wanted, &[self.spec])?);
        if step.pinned.is_none() {
            self.compiled.insert(step.rows, step.clone());
        } else if let Some(last) = self.passing.replace(step.program) {
            self.code.executor.lock().release(last);
        }
        Ok(step)
    }

    fn whole_prompts(&self) -> Option<String> {
        let pinned = || self.passing.map(|_| "the program branches on the position of a run's first token".to_owned());
        self.code.exact().or_else(pinned)
    }
}

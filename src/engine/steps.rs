//! The steps of a model: one a bucket, traced and compiled when first needed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::{CacheSpec, Compiled, ExecError, ProgramId, Unused};
use crate::lang::StepOutput;
use crate::model::StepPrograms;

use super::EngineError;
use super::code::{ModelCode, Wanted};

/// The steps of one model for one cache shape.
pub struct ModelSteps {
    code: Arc<ModelCode>,
    spec: CacheSpec,
    /// By the rows of the token input. A step that holds for one position alone is not among them.
    compiled: HashMap<usize, Arc<Compiled>>,
    /// Steps of several sequences, by the rows of the token input and what they give.
    batched: HashMap<(usize, StepOutput), Arc<Compiled>>,
    /// Why a run holds one sequence at a time, where the program asks for that.
    one_sequence: Option<String>,
    /// The program of a run that no other run can use: it was made for one position alone.
    passing: Option<ProgramId>,
    /// How often the program was interpreted: warm steps leave it alone.
    n_traces: u64,
}

impl ModelSteps {
    pub(super) fn new(code: Arc<ModelCode>, spec: CacheSpec) -> Self {
        ModelSteps { code, spec, compiled: HashMap::new(), batched: HashMap::new(), one_sequence: None, passing: None, n_traces: 0 }
    }

    pub fn n_traces(&self) -> u64 {
        self.n_traces
    }
}

impl Drop for ModelSteps {
    fn drop(&mut self) {
        let programs = self.compiled.values().chain(self.batched.values()).map(|step| step.program).chain(self.passing);
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
        let wanted = Wanted {
            n_tokens,
            position,
            n_positions: self.spec.n_positions(),
            window: self.spec.window,
            output: StepOutput::Drawn,
            exact: false,
        };
        let step = Arc::new(self.code.compile(&wanted, &[self.spec])?);
        if step.pinned.is_none() {
            self.compiled.insert(step.rows, step.clone());
        } else if let Some(last) = self.passing.replace(step.program) {
            self.code.executor.lock().release(last);
        }
        Ok(step)
    }

    fn batch(&mut self, n_tokens: usize, n_segments: usize) -> Result<Option<Arc<Compiled>>, EngineError> {
        self.batch_of(n_tokens, StepOutput::DrawnBySegment(n_segments.next_power_of_two()))
    }

    fn batch_logits(&mut self, n_tokens: usize, n_segments: usize) -> Result<Option<Arc<Compiled>>, EngineError> {
        self.batch_of(n_tokens, StepOutput::LogitsBySegment(n_segments.next_power_of_two()))
    }

    fn one_sequence(&self) -> Option<String> {
        self.one_sequence.clone().or_else(|| self.whole_prompts())
    }

    fn whole_prompts(&self) -> Option<String> {
        let pinned = || self.passing.map(|_| "the program branches on the position of a run's first token".to_owned());
        self.code.exact().or_else(pinned)
    }
}

impl ModelSteps {
    /// A step of several sequences, whose `output` holds the most segments.
    fn batch_of(&mut self, n_tokens: usize, output: StepOutput) -> Result<Option<Arc<Compiled>>, EngineError> {
        let key = (self.code.rows(n_tokens), output);
        if let Some(step) = self.batched.get(&key) {
            return Ok(Some(step.clone()));
        }
        if self.one_sequence().is_some() {
            return Ok(None);
        }
        self.n_traces += 1;
        let wanted = Wanted { n_tokens, position: 0, n_positions: self.spec.n_positions(), window: self.spec.window, output, exact: false };
        let step = match self.code.compile(&wanted, &[self.spec]) {
            Err(EngineError::Exec { error: ExecError::Unsupported { .. }, message, .. }) => {
                self.one_sequence = Some(message);
                return Ok(None);
            }
            step => Arc::new(step?),
        };
        if step.pinned.is_some() || self.code.exact().is_some() {
            self.one_sequence = step.pinned.map(|_| "the program branches on the position of a run's first token".to_owned());
            self.code.executor.lock().release(step.program);
            return Ok(None);
        }
        self.batched.insert(key, step.clone());
        Ok(Some(step))
    }
}

//! A program of the language inside another program: it is run once, then its functions are called and its tensors read.

use std::sync::Arc;

use crate::lang::{Interp, Options, ProgramError, Tensor, Value};
use crate::source::SourceMap;
use crate::tensor::HostTensor;

use super::Backend;

/// A program that has run, on the backend that computes its tensors. What it prints is not seen; an [`Interp`] with [`Options`] of its own
/// shows it, and may load models.
pub struct Program {
    /// For values other than tensors.
    pub interp: Interp,
}

impl Program {
    /// Runs a text: its statements in order, then its `main`. Errors call it `name`; it imports no files.
    ///
    /// # Errors
    /// Every error of the text, or the one that stopped it.
    pub fn run(name: &str, text: &str, backend: &Backend) -> Result<Program, ProgramError> {
        let options = Options { executor: Some(backend.executor.clone()), ..Options::default() };
        let mut interp = Interp::new(options).map_err(|diagnostics| ProgramError { diagnostics, sources: SourceMap::new() })?;
        match interp.run_source(name, text, None) {
            Ok(()) => Ok(Program { interp }),
            Err(diagnostics) => Err(interp.error(diagnostics)),
        }
    }

    /// The tensor that a function of the program gives for these.
    ///
    /// # Errors
    /// When there is no such function, it fails, or it gives no tensor.
    pub fn call(&mut self, function: &str, args: &[HostTensor]) -> Result<Arc<HostTensor>, ProgramError> {
        let args = args.iter().map(|tensor| Value::Tensor(Tensor::from_host(tensor.clone()))).collect();
        let value = self.interp.call(function, args)?;
        self.interp.numbers(&value)
    }

    /// The tensor that a variable of the program's top level holds; `None` where there is no such variable.
    ///
    /// # Errors
    /// When it holds no tensor, or the tensor cannot be computed.
    pub fn tensor(&mut self, variable: &str) -> Result<Option<Arc<HostTensor>>, ProgramError> {
        match self.interp.variable(variable) {
            Some(value) => self.interp.numbers(&value).map(Some),
            None => Ok(None),
        }
    }
}

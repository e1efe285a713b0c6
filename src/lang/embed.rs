//! What a program that embeds the language asks of an interpreter: variables, functions and the numbers of tensors.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::source::Span;
use crate::tensor::HostTensor;

use super::eval::Eval;
use super::interp::Interp;
use super::program::ProgramError;
use super::value::Value;

impl Interp {
    /// The value of a variable of the program's top level; `None` where it has none of that name.
    pub fn variable(&self, name: &str) -> Option<Value> {
        self.top_level(name).cloned()
    }

    /// Calls a function of the program with positional arguments.
    ///
    /// # Errors
    /// When there is no such function, or it fails.
    pub fn call(&mut self, function: &str, args: Vec<Value>) -> Result<Value, ProgramError> {
        let start = self.start();
        self.call_function(function, args, start).map_err(|diagnostics| self.error(diagnostics))
    }

    /// The numbers of a tensor: it is computed, and waited for.
    ///
    /// # Errors
    /// For a value that is no tensor, and those of the backend.
    pub fn numbers(&mut self, value: &Value) -> Result<Arc<HostTensor>, ProgramError> {
        let start = self.start();
        let Value::Tensor(tensor) = value else {
            let message = format!("{} is no tensor: give it as one, `tensor([x])`", value.type_name());
            return Err(self.error(vec![Diagnostic::error(message)]));
        };
        let found = self.session.host(tensor);
        let placed: Eval<Arc<HostTensor>> = self.placed(found, start);
        match placed {
            Ok(host) => Ok(host),
            Err(signal) => {
                let diagnostics = self.ended(Err(signal)).err().unwrap_or_default();
                Err(self.error(diagnostics))
            }
        }
    }

    /// Diagnostics with the sources that they are drawn from.
    pub fn error(&self, diagnostics: Vec<Diagnostic>) -> ProgramError {
        ProgramError { diagnostics, sources: self.sources.clone() }
    }

    fn start(&self) -> Span {
        Span::new(self.program, 0, 0)
    }
}

//! What a trace refuses: a model's `forward` is interpreted once for many runs, so whatever it does beside making steps would be done once, too.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::lang::builtins::Builtin;
use crate::lang::hir::Place;
use crate::lang::interp::Interp;
use crate::lang::value::Fault;
use crate::source::Span;

use super::{Eval, Frame};

/// Builtins that change something outside the program, or give something else at each call.
const ONCE: &[&str] = &["time", "input", "write_text", "save", "seed"];

impl Interp {
    /// Refuses to change a variable that was there before the trace.
    pub(super) fn check_changes(&self, frame: &Frame, place: Place, name: &str, at: Span) -> Eval<()> {
        let Some(trace) = &self.session.trace else { return Ok(()) };
        let is_own = match place {
            Place::Local(_) => true,
            Place::Captured(index) => {
                let var = frame.closure.as_ref().and_then(|c| c.captured.get(index as usize));
                var.is_some_and(|var| trace.own_variables.contains(&Arc::as_ptr(var).addr()))
            }
            Place::Global(_) => false,
        };
        if is_own {
            return Ok(());
        }
        let error = Diagnostic::error(format!(
            "`{name}` cannot change here: a model's `forward` is traced once for many runs, and they would all see what it became then"
        ));
        Err(error.at(at).hint(format!("write `let {name} = …` inside `forward`, or make it of `cache.position`")).into())
    }

    /// Refuses a builtin whose effect or result belongs to one call.
    pub(super) fn check_repeats(&self, builtin: &Builtin) -> Result<(), Fault> {
        if self.session.trace.is_none() || !ONCE.contains(&builtin.name) {
            return Ok(());
        }
        let message = format!("`{}` cannot be called here: a model's `forward` is traced once for many runs", builtin.name);
        Err(Fault::new(message).hint("call it above `forward`, and use what it gives"))
    }
}

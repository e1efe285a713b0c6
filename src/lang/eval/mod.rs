//! Walking the resolved program.

mod assign;
mod call;
mod convert;
mod expr;
mod frozen;
mod index;
mod lend;
pub mod number;
mod ops;
mod pattern;
mod stmt;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::diag::Diagnostic;
use crate::source::Span;

use super::hir::Place;
use super::interp::Interp;
use super::types::DimBinding;
use super::value::{Closure, Fault, SharedVar, Value};

pub use call::CallArg;
pub(in crate::lang) use index::element;
pub use index::{IndexValue, resolve_slice};
pub(in crate::lang) use ops::{LOOK_DEPTH_MAX, check_items, check_text, operand};

/// Why the evaluation of an expression ended without its value.
pub enum Signal {
    Error(Box<Diagnostic>),
    Break,
    Continue,
    Return(Value),
}

impl From<Diagnostic> for Signal {
    fn from(diagnostic: Diagnostic) -> Signal {
        Signal::Error(Box::new(diagnostic))
    }
}

impl From<Box<Diagnostic>> for Signal {
    fn from(diagnostic: Box<Diagnostic>) -> Signal {
        Signal::Error(diagnostic)
    }
}

pub type Eval<T> = Result<T, Signal>;

/// The variables of one call.
pub struct Frame {
    locals: Vec<Local>,
    closure: Option<Arc<Closure>>,
    pub(super) dims: Vec<DimBinding>,
    /// What the names of steps begin with here; `None` where `let` names no step.
    pub(super) label: Option<Arc<str>>,
}

/// A local variable: in place, or shared with the closures that captured it.
enum Local {
    Plain(Value),
    Shared(SharedVar),
}

impl Frame {
    pub fn new(n_locals: u32, label: Option<Arc<str>>) -> Frame {
        Frame::of(n_locals, None, label)
    }

    fn of(n_locals: u32, closure: Option<Arc<Closure>>, label: Option<Arc<str>>) -> Frame {
        let locals = (0..n_locals).map(|_| Local::Plain(Value::Unit)).collect();
        Frame { locals, closure, dims: Vec::new(), label }
    }

    /// A fresh variable in a slot: what an earlier turn of a loop captured keeps its own.
    fn bind(&mut self, slot: u32, value: Value) {
        self.locals[slot as usize] = Local::Plain(value);
    }

    /// A variable that the caller has lent.
    fn bind_shared(&mut self, slot: u32, var: SharedVar) {
        self.locals[slot as usize] = Local::Shared(var);
    }

    /// The variable as something a closure shares.
    fn share(&mut self, slot: u32) -> SharedVar {
        let local = &mut self.locals[slot as usize];
        match local {
            Local::Shared(var) => var.clone(),
            Local::Plain(value) => {
                let var = Arc::new(Mutex::new(std::mem::replace(value, Value::Unit)));
                *local = Local::Shared(var.clone());
                var
            }
        }
    }
}

impl Interp {
    pub(super) fn read(&self, frame: &Frame, place: Place, name: &str, span: Span) -> Eval<Value> {
        let value = match place {
            Place::Local(slot) => match &frame.locals[slot as usize] {
                Local::Plain(value) => value.clone(),
                Local::Shared(var) => var.lock().clone(),
            },
            Place::Captured(index) => match &frame.closure {
                Some(closure) => closure.captured[index as usize].lock().clone(),
                None => return Err(Diagnostic::error(format!("`{name}` is out of reach here")).at(span).into()),
            },
            Place::Global(slot) => match self.globals.get(slot as usize) {
                Some(Some(value)) => value.clone(),
                _ => {
                    return Err(Diagnostic::error(format!("`{name}` is used before its `let` has run"))
                        .at(span)
                        .hint(format!("move the statement that gives `{name}` its value above this use"))
                        .into());
                }
            },
        };
        if matches!(value, Value::Lent) { Err(lend::is_lent(name, span)) } else { Ok(value) }
    }

    pub(super) fn write(&mut self, frame: &mut Frame, place: Place, value: Value) {
        match place {
            Place::Local(slot) => match &mut frame.locals[slot as usize] {
                Local::Plain(old) => *old = value,
                Local::Shared(var) => {
                    // The old value may run code of ours when it drops, so it must not do so inside the borrow.
                    let old = std::mem::replace(&mut *var.lock(), value);
                    drop(old);
                }
            },
            Place::Captured(index) => {
                if let Some(closure) = &frame.closure {
                    let old = std::mem::replace(&mut *closure.captured[index as usize].lock(), value);
                    drop(old);
                }
            }
            Place::Global(slot) => {
                if let Some(global) = self.globals.get_mut(slot as usize) {
                    *global = Some(value);
                }
            }
        }
    }

    /// A `let`'s variable: fresh in its slot.
    pub(super) fn introduce(&mut self, frame: &mut Frame, place: Place, value: Value) {
        match place {
            Place::Local(slot) => frame.bind(slot, value),
            other => self.write(frame, other, value),
        }
    }

    /// Gives an error of a value its place.
    pub(super) fn fault(&mut self, fault: Fault, span: Span) -> Signal {
        let fault = fault.into_parts();
        let mut error = match &fault.label {
            Some(label) => Diagnostic::error(fault.message).label(span, label.clone()),
            None => Diagnostic::error(fault.message).at(span),
        };
        if let Some((place, why)) = fault.reason {
            error = error.reason(place, why);
        }
        if let Some(made) = fault.origin.and_then(|o| self.session.span_of(o))
            && made != span
        {
            error = error.reason(made, "in the step made here");
        }
        if let Some(hint) = fault.hint {
            error = error.hint(hint);
        }
        Signal::Error(Box::new(error))
    }

    pub(super) fn placed<T>(&mut self, result: Result<T, Fault>, span: Span) -> Eval<T> {
        result.map_err(|fault| self.fault(fault, span))
    }
}

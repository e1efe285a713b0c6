//! Binding and matching.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::lang::hir::{Pattern, PatternKind};
use crate::lang::interp::Interp;
use crate::lang::value::Value;
use crate::source::Span;
use crate::tensor::DType;

use super::{Eval, Frame};

impl Interp {
    /// `let` and `for`: the pattern must fit. Names a tensor's step after its variable where the frame does so.
    pub(super) fn bind(&mut self, frame: &mut Frame, pattern: &Pattern, value: Value, at: Span) -> Eval<()> {
        match &pattern.kind {
            PatternKind::Bind(place, name) => {
                self.name_step(frame, name, &value, at);
                self.introduce(frame, *place, value);
                Ok(())
            }
            PatternKind::Tuple(parts) => {
                let items = self.unpack(&value, at)?;
                if items.len() != parts.len() {
                    let error = Diagnostic::error(format!("cannot unpack {} values into {} names", items.len(), parts.len()));
                    return Err(error.at(at).reason(pattern.span, format!("{} names", parts.len())).into());
                }
                for (part, item) in parts.iter().zip(items) {
                    self.bind(frame, part, item, at)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn name_step(&mut self, frame: &Frame, name: &Arc<str>, value: &Value, at: Span) {
        if let (Value::Tensor(tensor), Some(prefix)) = (value, &frame.label) {
            self.session.set_place(at);
            if prefix.is_empty() {
                self.session.label(tensor, name);
            } else {
                self.session.label(tensor, &format!("{prefix}.{name}"));
            }
        }
    }

    /// The parts of a value that `let (a, b) = …` takes apart.
    fn unpack(&mut self, value: &Value, at: Span) -> Eval<Vec<Value>> {
        match value {
            Value::Tuple(items) | Value::List(items) => Ok(items.0.clone()),
            Value::Tensor(tensor) if tensor.shape().rank() > 0 && tensor.is_counted(0) => {
                let fault = self.session.needs_count();
                Err(self.fault(fault, at))
            }
            Value::Tensor(tensor) if tensor.shape().rank() > 0 && tensor.shape()[0] <= 64 => {
                (0..tensor.shape()[0] as u64).map(|i| self.item(value, i, at)).collect()
            }
            other => Err(Diagnostic::error(format!("cannot unpack {}", other.type_name()))
                .at(at)
                .hint("a tuple or a list can be unpacked")
                .into()),
        }
    }

    /// `match`: binds as it goes, and says whether the value fits.
    pub(super) fn matches(&mut self, frame: &mut Frame, pattern: &Pattern, value: &Value, at: Span) -> Eval<bool> {
        Ok(match &pattern.kind {
            PatternKind::Wildcard => true,
            PatternKind::Bind(place, _) => {
                self.introduce(frame, *place, value.clone());
                true
            }
            PatternKind::Literal(literal) => match (literal, value.plain().as_ref().unwrap_or(value)) {
                (Value::Unit, other) => matches!(other, Value::Unit),
                (Value::Str(a), Value::Str(b)) => a == b,
                (Value::Bool(a), Value::Bool(b)) => a == b,
                (Value::Str(_) | Value::Bool(_), Value::Int(_) | Value::Float(_)) => false,
                // A pattern of an int takes no float, whole or not.
                (Value::Int(_), Value::Float(_)) => false,
                (Value::Int(_), Value::Tensor(t)) if t.dtype().is_float() => false,
                (_, Value::Int(_) | Value::Float(_) | Value::Tensor(_)) => {
                    let equal = self.equal(literal, value);
                    self.placed(equal, at)?
                }
                _ => false,
            },
            PatternKind::Range(start, end) => match value {
                Value::Int(v) => (start..end).contains(&v),
                Value::Tensor(t) if t.dtype() == DType::I32 && t.shape().rank() == 0 => {
                    let int = self.int(value);
                    (*start..*end).contains(&self.placed(int, at)?)
                }
                _ => false,
            },
            PatternKind::Tuple(parts) => {
                let items = match value {
                    Value::Tuple(items) | Value::List(items) => items.0.clone(),
                    Value::Unit => Vec::new(),
                    _ => return Ok(false),
                };
                if items.len() != parts.len() {
                    return Ok(false);
                }
                for (part, item) in parts.iter().zip(&items) {
                    if !self.matches(frame, part, item, at)? {
                        return Ok(false);
                    }
                }
                true
            }
            PatternKind::Any(parts) => {
                for part in parts {
                    if self.matches(frame, part, value, at)? {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }
}

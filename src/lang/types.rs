//! Checking values against written types. A dimension's name has one size throughout a call.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::source::Span;
use crate::tensor::{DType, Quant};

use super::hir::{DTypePattern, Dim, Type, TypeKind};
use super::value::{TensorType, Value, dtype_name};

/// The element type that a name means. `float` is a number's type and a pattern, no element type of its own.
pub fn dtype_of_name(name: &str) -> Option<DType> {
    match name {
        "float32" | "f32" => Some(DType::F32),
        "float16" | "f16" => Some(DType::F16),
        "bfloat16" | "bf16" => Some(DType::BF16),
        "int32" | "i32" => Some(DType::I32),
        "bool" => Some(DType::Bool),
        _ => Quant::from_name(name).map(DType::Quant),
    }
}

/// A dimension's name bound in a call: its size and where it got it.
#[derive(Clone, Debug)]
pub struct DimBinding {
    pub name: Arc<str>,
    pub size: usize,
    /// Whether the size is the bucket of tokens that is being traced for.
    pub is_count: bool,
    /// Where the name stands in the signature.
    pub span: Span,
    /// `q is (4, 64)`.
    pub why: String,
}

/// What a check may add beside its verdict.
pub enum Checked {
    Fits,
    /// It fits by the rule that `float16` admits other floats: a note, once a place.
    OtherFloat,
}

impl Type {
    /// Whether a value fits. `what` is the value's name for messages: `x`, `the result`; `at` the place that gave it.
    ///
    /// # Errors
    /// A diagnostic that names both places.
    pub fn check(&self, value: &Value, what: &str, at: Span, dims: &mut Vec<DimBinding>) -> Result<Checked, Box<Diagnostic>> {
        let fits = match (&self.kind, value) {
            (TypeKind::Int, Value::Int(_))
            | (TypeKind::Float, Value::Float(_))
            | (TypeKind::Bool, Value::Bool(_))
            | (TypeKind::Str, Value::Str(_) | Value::Prompt(_))
            | (TypeKind::List, Value::List(_))
            | (TypeKind::AnyTuple, Value::Tuple(_))
            | (TypeKind::Range, Value::Range(_))
            | (TypeKind::Fn, Value::Fn(_) | Value::Builtin(_))
            | (TypeKind::AnyTensor, Value::Tensor(_))
            | (TypeKind::Model, Value::Model(_))
            | (TypeKind::Layer, Value::Layer(_))
            | (TypeKind::Config, Value::Config(_))
            | (TypeKind::Cache, Value::Cache(_))
            | (TypeKind::Tokenizer, Value::Tokenizer(_))
            | (TypeKind::Rotation, Value::Rotation(..))
            | (TypeKind::Chat, Value::Chat(_)) => true,
            // A scalar that a graph holds is a number as well: its value is not needed to know that.
            (TypeKind::Int, Value::Tensor(t)) => t.shape().rank() == 0 && t.dtype() == DType::I32,
            (TypeKind::Float, Value::Tensor(t)) => t.shape().rank() == 0 && t.dtype().is_float(),
            (TypeKind::Bool, Value::Tensor(t)) => t.shape().rank() == 0 && t.dtype() == DType::Bool,
            (TypeKind::Struct(_, name), Value::Record(record)) => record.def.name() == &**name,
            (TypeKind::Tuple(parts), Value::Tuple(items)) if parts.len() == items.0.len() => {
                for (part, item) in parts.iter().zip(&items.0) {
                    part.check(item, what, at, dims)?;
                }
                true
            }
            (TypeKind::Tuple(parts), Value::Unit) => parts.is_empty(),
            (TypeKind::Tensor { dtype, dims: pattern }, Value::Tensor(tensor)) => {
                return self.check_tensor(*dtype, pattern, tensor, what, at, dims);
            }
            _ => false,
        };
        if fits {
            return Ok(Checked::Fits);
        }
        let mut error = Diagnostic::error(format!("{what} is {}, not {}", value.type_name(), self.describe()))
            .at(at)
            .reason(self.span, "declared here");
        match (&self.kind, value) {
            (TypeKind::Int, Value::Float(_)) => {
                error = error.hint("write `int(x)` to cut the fraction off, or `div(a, b)` for a quotient without one");
            }
            (TypeKind::Tensor { .. }, Value::List(_)) => error = error.hint("write `tensor(x)` to make a tensor of a list of numbers"),
            _ => {}
        }
        Err(Box::new(error))
    }

    fn check_tensor(
        &self,
        dtype: DTypePattern,
        pattern: &[Dim],
        tensor: &super::session::Tensor,
        what: &str,
        at: Span,
        dims: &mut Vec<DimBinding>,
    ) -> Result<Checked, Box<Diagnostic>> {
        let have = tensor.dtype();
        let mut checked = Checked::Fits;
        let fits = match dtype {
            DTypePattern::AnyFloat => have.is_float(),
            DTypePattern::Exact(DType::F16) if have.is_float() && have != DType::F16 => {
                checked = Checked::OtherFloat;
                true
            }
            DTypePattern::Exact(want) => want == have,
        };
        let shown = TensorType(tensor);
        if !fits {
            let mut error =
                Diagnostic::error(format!("{what} is {shown}, not {}", self.describe())).at(at).reason(self.span, "declared here");
            error = match dtype {
                DTypePattern::Exact(want) if !matches!(want, DType::Quant(_)) => {
                    error.hint(format!("write `cast({what}, {})`", dtype_name(want)))
                }
                DTypePattern::AnyFloat => error.hint(format!("write `cast({what}, float32)`")),
                _ => error,
            };
            return Err(Box::new(error));
        }
        let shape = tensor.shape();
        let rest = pattern.iter().position(|d| matches!(d, Dim::Rest));
        let n_fixed = pattern.len() - usize::from(rest.is_some());
        let rank_fits = if rest.is_some() { shape.rank() >= n_fixed } else { shape.rank() == n_fixed };
        if !rank_fits {
            let error = Diagnostic::error(format!(
                "{what} is {shown}, which has {} dimensions, not {}{n_fixed}",
                shape.rank(),
                if rest.is_some() { "at least " } else { "" }
            ))
            .at(at)
            .reason(self.span, "declared here");
            return Err(Box::new(error));
        }
        let skipped = shape.rank() - n_fixed;
        for (i, dim) in pattern.iter().enumerate() {
            let at_shape = if rest.is_some_and(|r| i > r) { i - 1 + skipped } else { i };
            match dim {
                Dim::Any | Dim::Rest => {}
                Dim::Size(want) => {
                    let have = shape[at_shape];
                    if have != *want {
                        let error = Diagnostic::error(format!("{what} is {shown}: dimension {at_shape} is {have}, not {want}"));
                        return Err(Box::new(error.at(at).reason(self.span, "declared here")));
                    }
                }
                Dim::Name(name, span) => {
                    let have = shape[at_shape];
                    let is_count = tensor.is_counted(at_shape);
                    match dims.iter_mut().find(|d| d.name == *name) {
                        None => {
                            let why = format!("{name} is {have}: {what} is {shape}");
                            dims.push(DimBinding { name: name.clone(), size: have, is_count, span: *span, why });
                        }
                        Some(bound) if bound.size == have => bound.is_count |= is_count,
                        Some(bound) => {
                            let error = Diagnostic::error(format!("{name} is {} and {have}: {what} is {shown}", bound.size))
                                .at(at)
                                .reason(bound.span, &bound.why)
                                .reason(*span, format!("{name} is {have}: {what} is {shape}"));
                            return Err(Box::new(error));
                        }
                    }
                }
            }
        }
        Ok(checked)
    }

    /// As it was written.
    pub fn describe(&self) -> String {
        let name = match &self.kind {
            TypeKind::Int => "int",
            TypeKind::Float => "float",
            TypeKind::Bool => "bool",
            TypeKind::Str => "string",
            TypeKind::List => "list",
            TypeKind::AnyTuple => "tuple",
            TypeKind::Range => "range",
            TypeKind::Fn => "fn",
            TypeKind::AnyTensor => "tensor",
            TypeKind::Model => "Model",
            TypeKind::Layer => "Layer",
            TypeKind::Config => "Config",
            TypeKind::Cache => "Cache",
            TypeKind::Tokenizer => "Tokenizer",
            TypeKind::Rotation => "Rotation",
            TypeKind::Chat => "Chat",
            TypeKind::Struct(_, name) => name,
            TypeKind::Tuple(parts) if parts.is_empty() => "none",
            TypeKind::Tuple(parts) => return format!("({})", parts.iter().map(Type::describe).collect::<Vec<_>>().join(", ")),
            TypeKind::Tensor { dtype, dims } => {
                let dtype = match dtype {
                    DTypePattern::AnyFloat => "float",
                    DTypePattern::Exact(d) => dtype_name(*d),
                };
                let dims: Vec<String> = dims
                    .iter()
                    .map(|d| match d {
                        Dim::Size(n) => n.to_string(),
                        Dim::Name(name, _) => name.to_string(),
                        Dim::Any => "?".into(),
                        Dim::Rest => "...".into(),
                    })
                    .collect();
                return format!("{dtype}[{}]", dims.join(", "));
            }
        };
        name.into()
    }
}

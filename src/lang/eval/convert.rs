//! The conversions that a program asks for: `as`, and the declared type of a tensor.

use crate::lang::hir::{DTypePattern, Dim, Type, TypeKind};
use crate::lang::interp::Interp;
use crate::lang::types::DimBinding;
use crate::lang::value::{Fault, Value};
use crate::source::Span;
use crate::tensor::DType;

use super::number::float_to_int;
use super::{Eval, element};

impl Interp {
    /// `value as ty`. What cannot be converted stays as it is, and the check that follows says so.
    pub(super) fn cast_to(&mut self, value: Value, ty: &Type, at: Span) -> Eval<Value> {
        let converted = match &ty.kind {
            TypeKind::Tensor { dtype, .. } => self.as_tensor(&value, *dtype),
            TypeKind::Int | TypeKind::Float | TypeKind::Bool => self.as_scalar(&value, &ty.kind),
            TypeKind::Str => self.text(&value).map(|text| Value::str(&text)),
            _ => Ok(value),
        };
        self.placed(converted, at)
    }

    /// `let x: float16[…] = value`: a tensor's declaration converts, a number's does not.
    pub(super) fn converted(&mut self, value: Value, ty: &Type, at: Span) -> Eval<Value> {
        match &ty.kind {
            TypeKind::Tensor { dtype, .. } if matches!(value, Value::Tensor(_) | Value::List(_) | Value::Int(_) | Value::Float(_)) => {
                let converted = self.as_tensor(&value, *dtype);
                self.placed(converted, at)
            }
            _ => Ok(value),
        }
    }

    /// `tensor x: float32[2, 3] = value`: the value in the type's dtype, and, where it is flat and the type says a shape of as many elements, in
    /// that shape.
    pub(super) fn declared(&mut self, value: Value, ty: &Type, at: Span, dims: &[DimBinding]) -> Eval<Value> {
        let filled = match &ty.kind {
            TypeKind::Tensor { dtype, dims: pattern } => self.as_tensor(&value, *dtype).and_then(|v| self.fill(v, pattern, dims)),
            _ => self.tensor_from(&value).map(Value::Tensor),
        };
        self.placed(filled, at)
    }

    /// A vector of as many elements as a written shape has, in that shape; anything else as it is.
    fn fill(&mut self, value: Value, pattern: &[Dim], dims: &[DimBinding]) -> Result<Value, Fault> {
        let Value::Tensor(tensor) = &value else { return Ok(value) };
        let size = |dim: &Dim| match dim {
            Dim::Size(n) => Some(*n),
            Dim::Name(name, _) => dims.iter().find(|d| d.name == *name).map(|d| d.size),
            Dim::Any | Dim::Rest => None,
        };
        let Some(sizes) = pattern.iter().map(size).collect::<Option<Vec<usize>>>() else { return Ok(value) };
        let len = sizes.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if tensor.shape().rank() != 1 || len != Some(tensor.shape().len()) {
            return Ok(value);
        }
        self.session.build(&[tensor], |g, n| g.reshape(n[0], sizes)).map(Value::Tensor)
    }

    fn as_tensor(&mut self, value: &Value, dtype: DTypePattern) -> Result<Value, Fault> {
        match (dtype, value) {
            (DTypePattern::AnyFloat, Value::Tensor(t)) if t.dtype().is_float() => Ok(value.clone()),
            (DTypePattern::Exact(DType::Quant(_)), _) => Ok(value.clone()),
            (DTypePattern::AnyFloat, _) => self.cast_value(value, DType::F32),
            (DTypePattern::Exact(dtype), _) => self.cast_value(value, dtype),
        }
    }

    fn as_scalar(&mut self, value: &Value, to: &TypeKind) -> Result<Value, Fault> {
        let number = match value {
            Value::Tensor(t) if t.shape().len() == 1 && self.session.trace.is_none() => element(&*self.session.host(t)?, 0),
            other => other.clone(),
        };
        Ok(match (to, number) {
            (TypeKind::Int, Value::Float(v)) => Value::Int(float_to_int(v)?),
            (TypeKind::Int, Value::Bool(v)) => Value::Int(v.into()),
            (TypeKind::Float, Value::Int(v)) => Value::Float(v as f64),
            (TypeKind::Float, Value::Bool(v)) => Value::Float(f64::from(u8::from(v))),
            (TypeKind::Bool, Value::Int(v)) => Value::Bool(v != 0),
            (TypeKind::Bool, Value::Float(v)) => Value::Bool(v != 0.0),
            (_, other) => other,
        })
    }
}

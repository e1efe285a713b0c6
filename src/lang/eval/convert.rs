//! The conversions that a program asks for: `as`, and the declared type of a tensor.

use crate::lang::hir::{DTypePattern, Type, TypeKind};
use crate::lang::interp::Interp;
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

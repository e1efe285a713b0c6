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

    /// `let x: float16[…] = value`: ints become floats where the type wants floats, and floats take its width. Nothing narrows: what does not fit
    /// stays as it is, and the check that follows says so.
    pub(super) fn converted(&mut self, value: Value, ty: &Type, at: Span) -> Eval<Value> {
        let TypeKind::Tensor { dtype, .. } = &ty.kind else { return Ok(value) };
        let made = match &value {
            Value::Tensor(t) => Ok(t.clone()),
            Value::List(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => self.tensor_from(&value),
            _ => return Ok(value),
        };
        let made = self.placed(made, at)?;
        if let (DTypePattern::Exact(to), Value::List(items)) = (dtype, &value)
            && items.0.is_empty()
        {
            // An empty list is of no kind yet.
            let empty = self.cast_value(&Value::Tensor(made), *to);
            return self.placed(empty, at);
        }
        let to = match dtype {
            DTypePattern::AnyFloat if !made.dtype().is_float() => DType::F32,
            DTypePattern::Exact(to) if to.is_float() && !matches!(to, DType::Quant(_)) => *to,
            _ => return Ok(Value::Tensor(made)),
        };
        if made.dtype() == DType::Bool {
            return Ok(Value::Tensor(made));
        }
        let cast = self.cast_value(&Value::Tensor(made), to);
        self.placed(cast, at)
    }

    /// An int where a float is wanted, as a float; within tuples, too. Anything else as it is.
    pub(in crate::lang) fn fitted(&mut self, value: Value, ty: &Type) -> Result<Value, Fault> {
        Ok(match (&ty.kind, value) {
            (TypeKind::Float, Value::Int(v)) => Value::Float(v as f64),
            (TypeKind::Float, Value::Tensor(t)) if t.shape().rank() == 0 && t.dtype() == DType::I32 => {
                self.cast_value(&Value::Tensor(t), DType::F32)?
            }
            (TypeKind::Tuple(parts), Value::Tuple(items)) if parts.len() == items.0.len() => {
                let fitted = parts.iter().zip(&items.0).map(|(part, item)| self.fitted(item.clone(), part));
                Value::tuple(fitted.collect::<Result<_, _>>()?)
            }
            (_, value) => value,
        })
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

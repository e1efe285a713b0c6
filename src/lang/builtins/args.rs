//! Reading a builtin's arguments.

use crate::lang::interp::Interp;
use crate::lang::session::{Operand, Tensor};
use crate::lang::value::{Fault, Value};
use crate::source::Span;
use crate::tensor::{DType, HostTensor, Shape};
use std::sync::Arc;

use super::Failure;
use crate::lang::eval::number::whole;
use crate::lang::eval::operand;

/// The arguments of one call, in the order of the signature.
pub struct Args {
    pub(super) slots: Vec<Option<(Value, Span)>>,
    pub(super) rest: Vec<(Value, Span)>,
    /// The call.
    pub span: Span,
}

impl Args {
    pub fn is_given(&self, i: usize) -> bool {
        self.slots[i].is_some()
    }

    /// The argument's place; the call's where it was left out.
    pub fn at(&self, i: usize) -> Span {
        self.slots[i].as_ref().map_or(self.span, |s| s.1)
    }

    /// The value, `()` where it was left out.
    pub fn value(&self, i: usize) -> Value {
        self.slots[i].as_ref().map_or(Value::Unit, |s| s.0.clone())
    }

    pub fn take(&mut self, i: usize) -> Value {
        self.slots[i].take().map_or(Value::Unit, |s| s.0)
    }

    /// What the signature's rest parameter took.
    pub fn take_rest(&mut self) -> Vec<(Value, Span)> {
        std::mem::take(&mut self.rest)
    }

    pub fn fail(&self, i: usize, fault: Fault) -> Failure {
        Failure::At(fault, self.at(i))
    }

    fn wrong(&self, i: usize, want: &str) -> Failure {
        let have = self.slots[i].as_ref().map_or("nothing".into(), |s| s.0.type_name());
        self.fail(i, Fault::new(format!("{want} is needed here, not {have}")))
    }

    /// A tensor; a number counts as one of no dimensions, a list of numbers as one of one.
    pub fn tensor(&self, interp: &mut Interp, i: usize) -> Result<Tensor, Failure> {
        match self.slots[i].as_ref().map(|s| &s.0) {
            Some(Value::Tensor(t)) => Ok(t.clone()),
            Some(Value::List(items)) => interp.tensor_of(&items.0).map_err(|f| self.fail(i, f)),
            Some(Value::Float(v)) => Ok(Tensor::from_host(HostTensor::f32(Shape::scalar(), vec![*v as f32]))),
            Some(Value::Int(v)) => match i32::try_from(*v) {
                Ok(v) => Ok(Tensor::from_host(HostTensor::i32(Shape::scalar(), vec![v]))),
                Err(_) => Err(self.fail(i, Fault::new(format!("{v} does not fit int32")))),
            },
            _ => Err(self.wrong(i, "a tensor")),
        }
    }

    /// A tensor or a number.
    pub fn operand(&self, i: usize) -> Result<Operand, Failure> {
        self.slots[i].as_ref().and_then(|s| operand(&s.0)).ok_or_else(|| self.wrong(i, "a tensor or a number"))
    }

    pub fn int(&self, interp: &mut Interp, i: usize) -> Result<i64, Failure> {
        interp.int(&self.value(i)).map_err(|f| self.fail(i, f))
    }

    pub fn int_or(&self, interp: &mut Interp, i: usize, default: i64) -> Result<i64, Failure> {
        if self.is_given(i) { self.int(interp, i) } else { Ok(default) }
    }

    /// A number of things: an int from 0 on.
    pub fn count(&self, interp: &mut Interp, i: usize) -> Result<usize, Failure> {
        let n = self.int(interp, i)?;
        usize::try_from(n).map_err(|_| self.fail(i, Fault::new(format!("a count cannot be {n}"))))
    }

    pub fn float(&self, interp: &mut Interp, i: usize) -> Result<f64, Failure> {
        match self.value(i) {
            Value::Float(v) => Ok(v),
            Value::Int(v) => Ok(v as f64),
            Value::Tensor(t) if t.shape().len() == 1 => interp.session.host(&t).map(|h| h.value(0)).map_err(|f| self.fail(i, f)),
            _ => Err(self.wrong(i, "a number")),
        }
    }

    pub fn float_or(&self, interp: &mut Interp, i: usize, default: f64) -> Result<f64, Failure> {
        if self.is_given(i) { self.float(interp, i) } else { Ok(default) }
    }

    pub fn bool_or(&self, i: usize, default: bool) -> Result<bool, Failure> {
        match self.slots[i].as_ref().map(|s| &s.0) {
            None => Ok(default),
            Some(Value::Bool(v)) => Ok(*v),
            _ => Err(self.wrong(i, "a bool")),
        }
    }

    pub fn str(&self, i: usize) -> Result<Arc<str>, Failure> {
        match self.slots[i].as_ref().map(|s| &s.0) {
            Some(Value::Str(v)) => Ok(v.clone()),
            Some(Value::Prompt(prompt)) => Ok(prompt.text.as_str().into()),
            _ => Err(self.wrong(i, "a string")),
        }
    }

    pub fn dtype_or(&self, i: usize, default: DType) -> Result<DType, Failure> {
        match self.slots[i].as_ref().map(|s| &s.0) {
            None => Ok(default),
            Some(Value::DType(dtype)) => Ok(*dtype),
            Some(Value::Str(name)) => crate::lang::types::dtype_of_name(name).ok_or_else(|| self.wrong(i, "a dtype such as `float32`")),
            Some(Value::Builtin(b)) if b.name == "float" => Ok(DType::F32),
            Some(Value::Builtin(b)) if b.name == "int" => Ok(DType::I32),
            _ => Err(self.wrong(i, "a dtype such as `float32`")),
        }
    }

    /// A dimension of a tensor of this rank; negative ones count from the last.
    pub fn axis(&self, interp: &mut Interp, i: usize, rank: usize, default: i64) -> Result<usize, Failure> {
        let dim = self.int_or(interp, i, default)?;
        let at = if dim < 0 { dim + rank as i64 } else { dim };
        match usize::try_from(at) {
            Ok(at) if at < rank => Ok(at),
            _ => Err(self.fail(i, Fault::new(format!("dimension {dim} is out of range for {rank} dimensions")))),
        }
    }

    /// The low 32 bits that a seed is.
    pub fn seed(&self, interp: &mut Interp, i: usize) -> Result<u32, Failure> {
        let seed = self.int(interp, i)?;
        let outside = || self.fail(i, Fault::new(format!("a seed has 32 bits, which {seed} does not fit")).hint("write `seed % 2 ** 32`"));
        u32::try_from(seed).or_else(|_| i32::try_from(seed).map(|v| v as u32)).map_err(|_| outside())
    }

    /// The seed that is given, or the next of the program's stream.
    pub fn seed_or_next(&self, interp: &mut Interp, i: usize) -> Result<u32, Failure> {
        if self.is_given(i) { self.seed(interp, i) } else { Ok(interp.next_seed()?) }
    }

    /// Sizes: a list, a tuple, a tensor of ints, or one int.
    pub fn ints(&self, interp: &mut Interp, i: usize) -> Result<Vec<i64>, Failure> {
        interp.ints_of(&self.value(i)).map_err(|f| self.fail(i, f))
    }

    /// A shape whose sizes are all given.
    pub fn shape(&self, interp: &mut Interp, i: usize) -> Result<(Shape, u32), Failure> {
        let Sizes { values, counts } = self.sizes(interp, i)?;
        Ok((to_shape(&values).map_err(|f| self.fail(i, f))?, counts))
    }

    fn sizes(&self, interp: &mut Interp, i: usize) -> Result<Sizes, Failure> {
        interp.sizes_of(&self.value(i)).map_err(|f| self.fail(i, f))
    }

    /// A shape as one argument, or as the arguments from `i` on: `zeros([2, 3])`, `zeros(2, 3)`.
    pub fn shape_or_rest(&mut self, interp: &mut Interp, i: usize) -> Result<Sizes, Failure> {
        let mut sizes = self.sizes(interp, i)?;
        for (value, at) in self.take_rest() {
            interp.push_size(&mut sizes, &value).map_err(|f| Failure::At(f, at))?;
        }
        Ok(sizes)
    }
}

/// The numbers of a shape, as they were given.
#[derive(Default)]
pub struct Sizes {
    pub values: Vec<i64>,
    /// Which of them are the number of tokens, a bit each, while a bucket of rows is traced for.
    pub counts: u32,
}

pub fn to_shape(sizes: &[i64]) -> Result<Shape, Fault> {
    let mut dims = Vec::with_capacity(sizes.len());
    for &size in sizes {
        dims.push(usize::try_from(size).map_err(|_| Fault::new(format!("a dimension cannot have {size} elements")))?);
    }
    let shape = Shape::new(dims);
    crate::lang::session::check_size(&shape)?;
    Ok(shape)
}

/// A size that a float32 holds. From 2^24 on two ints can share one float32, so that the size that was meant is unknown.
fn exact_size(v: f64) -> Result<i64, Fault> {
    if v.abs() >= f64::from(1 << 24) {
        return Err(
            Fault::new(format!("{v} is not exact among floats")).hint("write `div(a, b)` instead of `/`, so that all sizes are ints")
        );
    }
    whole(v)
}

impl Interp {
    fn sizes_of(&mut self, value: &Value) -> Result<Sizes, Fault> {
        let mut sizes = Sizes::default();
        match value {
            Value::List(items) | Value::Tuple(items) => {
                for item in &items.0 {
                    self.push_size(&mut sizes, item)?;
                }
            }
            Value::Tensor(t) if t.shape().rank() == 1 && t.as_sizes().is_some() => {
                let (values, counts) = t.as_sizes().unwrap_or_default();
                sizes = Sizes { values, counts };
            }
            Value::Tensor(t) if t.as_sizes().is_some() => self.push_size(&mut sizes, value)?,
            other => sizes.values = self.ints_of(other)?,
        }
        Ok(sizes)
    }

    fn push_size(&mut self, sizes: &mut Sizes, value: &Value) -> Result<(), Fault> {
        let counted = if let Value::Tensor(t) = value { t.as_sizes() } else { None };
        let size = match counted {
            Some((size, _)) if size.len() == 1 && sizes.values.len() < 32 => {
                sizes.counts |= 1 << sizes.values.len();
                size[0]
            }
            _ => self.int(value)?,
        };
        sizes.values.push(size);
        Ok(())
    }

    /// # Errors
    /// Where a number that is needed is that of the tokens, which a bucket of rows does not tell.
    pub(super) fn no_count(&mut self, counts: u32) -> Result<(), Fault> {
        if counts == 0 { Ok(()) } else { Err(self.session.needs_count()) }
    }

    /// The dimension that is as long as the tokens are many, of a shape that was given; `None` where none is.
    pub(super) fn counted_dim(&mut self, counts: u32) -> Result<Option<usize>, Fault> {
        match counts.count_ones() {
            0 => Ok(None),
            1 => Ok(Some(counts.trailing_zeros() as usize)),
            // Each row would be as long as the tokens are many.
            _ => Err(self.session.needs_count()),
        }
    }

    /// The ints that a shape or an order of dimensions is given by.
    pub(in crate::lang) fn ints_of(&mut self, value: &Value) -> Result<Vec<i64>, Fault> {
        match value {
            Value::List(items) | Value::Tuple(items) => items.0.iter().map(|v| self.int(v)).collect(),
            Value::Unit => Ok(Vec::new()),
            Value::Tensor(t) if t.dtype() == DType::I32 && t.shape().rank() <= 1 => {
                let host = self.session.host(t)?;
                Ok((0..host.len()).map(|i| host.value(i) as i64).collect())
            }
            Value::Tensor(t) if t.dtype().is_float() && t.shape().rank() == 1 => {
                let host = self.session.host(t)?;
                (0..host.len()).map(|i| exact_size(host.value(i))).collect()
            }
            other => self.int(other).map(|v| vec![v]),
        }
    }
}

//! Reading elements, rows and slices.

use crate::graph::{Graph, GraphError, NodeId};
use crate::lang::hir::{IndexArg, SliceArg};
use crate::lang::interp::Interp;
use crate::lang::session::Tensor;
use crate::lang::value::{Fault, Value};
use crate::tensor::{DType, HostTensor};

use super::{Eval, Frame};

/// One entry between brackets, evaluated.
#[derive(Clone)]
pub enum IndexValue {
    At(i64),
    /// Positions that a tensor holds: they take the dimension's place.
    Gather(Tensor),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
}

impl Interp {
    pub(super) fn index_values(&mut self, frame: &mut Frame, args: &[IndexArg]) -> Eval<Vec<IndexValue>> {
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            values.push(match arg {
                IndexArg::At(expr) => {
                    let value = self.expr(frame, expr)?;
                    let index = self.index_value(value);
                    self.placed(index, expr.span)?
                }
                IndexArg::Slice(slice) => {
                    let SliceArg { start, end, step, span } = &**slice;
                    let start = start.as_ref().map(|e| self.int_of(frame, e)).transpose()?;
                    let end = end.as_ref().map(|e| self.int_of(frame, e)).transpose()?;
                    let step = step.as_ref().map(|e| self.int_of(frame, e)).transpose()?.unwrap_or(1);
                    if step == 0 {
                        return Err(self.fault(Fault::new("a slice's step cannot be 0"), *span));
                    }
                    IndexValue::Slice { start, end, step }
                }
            });
        }
        Ok(values)
    }

    fn index_value(&mut self, value: Value) -> Result<IndexValue, Fault> {
        match value {
            Value::Int(i) => Ok(IndexValue::At(i)),
            Value::Range(r) => Ok(IndexValue::Slice { start: Some(r.start), end: Some(r.end), step: r.step }),
            Value::Tensor(t) if t.dtype() == DType::I32 => {
                // While a model is traced a position may be known only when the graph runs.
                if t.shape().rank() == 0 && self.session.trace.is_none() {
                    return self.int(&Value::Tensor(t)).map(IndexValue::At);
                }
                Ok(IndexValue::Gather(t))
            }
            Value::Tensor(t) if t.dtype() == DType::Bool => {
                Err(Fault::new("a mask cannot index: the size of the result would depend on its values")
                    .hint("write `where(mask, x, 0.0)`"))
            }
            Value::Float(v) => super::number::whole(v).map(IndexValue::At),
            Value::Tensor(t) if t.shape().rank() == 0 && self.session.trace.is_none() => self.int(&Value::Tensor(t)).map(IndexValue::At),
            Value::Tensor(t) => self.positions(&t).map(IndexValue::Gather),
            other => Err(Fault::new(format!("an index is an int, a slice or an int32 tensor, not {}", other.type_name()))),
        }
    }

    pub(super) fn index(&mut self, base: &Value, args: &[IndexValue]) -> Result<Value, Fault> {
        match base {
            Value::Tensor(tensor) => self.tensor_index(tensor, args),
            Value::List(items) => match one(args, base)? {
                IndexValue::At(i) => Ok(items.0[position(*i, items.0.len())?].clone()),
                IndexValue::Slice { start, end, step } => {
                    let (first, n) = resolve_slice(*start, *end, *step, items.0.len());
                    Ok(Value::list((0..n).map(|k| items.0[(first as i64 + k as i64 * step) as usize].clone()).collect()))
                }
                IndexValue::Gather(_) => Err(Fault::new("a list's index is an int or a slice, not a tensor")),
            },
            Value::Tuple(items) => match one(args, base)? {
                IndexValue::At(i) => Ok(items.0[position(*i, items.0.len())?].clone()),
                IndexValue::Slice { start, end, step } => {
                    let (first, n) = resolve_slice(*start, *end, *step, items.0.len());
                    Ok(Value::tuple((0..n).map(|k| items.0[(first as i64 + k as i64 * step) as usize].clone()).collect()))
                }
                IndexValue::Gather(_) => Err(Fault::new("a tuple's index is an int or a slice, not a tensor")),
            },
            Value::Prompt(prompt) => self.index(&Value::str(&prompt.text), args),
            Value::Str(text) => {
                let chars: Vec<char> = text.chars().collect();
                match one(args, base)? {
                    IndexValue::At(i) => Ok(Value::str(&chars[position(*i, chars.len())?].to_string())),
                    IndexValue::Slice { start, end, step } => {
                        let (first, n) = resolve_slice(*start, *end, *step, chars.len());
                        let text: String = (0..n).map(|k| chars[(first as i64 + k as i64 * step) as usize]).collect();
                        Ok(Value::str(&text))
                    }
                    IndexValue::Gather(_) => Err(Fault::new("a string's index is an int or a slice, not a tensor")),
                }
            }
            Value::Range(range) => match one(args, base)? {
                IndexValue::At(i) => Ok(Value::Int(range.at(position(*i, usize::try_from(range.len()).unwrap_or(usize::MAX))? as u64))),
                _ => Err(Fault::new("a range's index is an int")),
            },
            Value::Layer(path) => match one(args, base)? {
                IndexValue::At(i) if *i >= 0 => {
                    if !path.has(&i.to_string()) {
                        return Err(Fault::new(format!("the model has nothing at `{}.{i}`", path.path))
                            .hint("`tl inspect MODEL --tensors` lists what it has"));
                    }
                    path.step(&i.to_string())
                }
                _ => Err(Fault::new("a layer's index is a non-negative int")),
            },
            other => Err(Fault::new(format!("{} cannot be indexed", other.type_name()))),
        }
    }

    /// An element as a number where every dimension has an int; else a tensor.
    pub(in crate::lang) fn tensor_index(&mut self, tensor: &Tensor, args: &[IndexValue]) -> Result<Value, Fault> {
        let shape = tensor.shape().clone();
        if args.len() > shape.rank() {
            return Err(
                Fault::new(format!("{} indices for a tensor of {} dimensions", args.len(), shape.rank())).label(format!("it is {shape}"))
            );
        }
        let mut ranges: Vec<(usize, isize, usize)> = shape.iter().map(|&d| (0, 1, d)).collect();
        let mut dropped = vec![false; shape.rank()];
        let mut gathers: Vec<(usize, &Tensor)> = Vec::new();
        for (axis, arg) in args.iter().enumerate() {
            match arg {
                IndexValue::At(i) => {
                    let i = position(*i, shape[axis]).map_err(|f| f.reworded(|m| format!("{m} of dimension {axis} of {shape}")))?;
                    ranges[axis] = (i, 1, 1);
                    dropped[axis] = true;
                }
                IndexValue::Slice { start, end, step } => {
                    let (first, n) = resolve_slice(*start, *end, *step, shape[axis]);
                    ranges[axis] = (first, *step as isize, n);
                }
                IndexValue::Gather(index) => gathers.push((axis, index)),
            }
        }
        let is_element = args.len() == shape.rank() && dropped.iter().all(|&d| d);
        if is_element && (self.session.trace.is_none() || tensor.is_constant()) {
            let host = self.session.host(tensor)?;
            let flat: usize = ranges.iter().zip(shape.strides()).map(|(r, s)| r.0 * s).sum();
            return Ok(element(&host, flat));
        }
        let sliced = self.session.build(&[tensor], |g, n| {
            let x = g.slice(n[0], &ranges)?;
            let dims: Vec<usize> = ranges.iter().zip(&dropped).filter(|(_, d)| !**d).map(|(r, _)| r.2).collect();
            g.reshape(x, dims)
        })?;
        let mut result = sliced;
        // From the last axis on, so that the earlier ones stay where they are.
        for (axis, index) in gathers.into_iter().rev() {
            let axis = axis - dropped[..axis].iter().filter(|d| **d).count();
            self.check_positions(index, result.shape()[axis])?;
            let n = result.shape()[axis];
            result = self.session.build(&[&result, index], |g, nodes| gather(g, nodes[0], nodes[1], axis, n))?;
        }
        Ok(Value::Tensor(result))
    }

    /// Positions or ids as int32: ints as they are, floats where all are whole.
    ///
    /// # Errors
    /// For floats that are not whole, and while a model is traced for those whose values are not known yet.
    pub(in crate::lang) fn positions(&mut self, index: &Tensor) -> Result<Tensor, Fault> {
        if !index.dtype().is_float() {
            return match index.dtype() {
                DType::I32 => Ok(index.clone()),
                other => Err(Fault::new(format!("positions are int32, not {other}")).hint("write `cast(x, int32)`")),
            };
        }
        let host = match index.known() {
            Some(host) => host,
            None if self.session.trace.is_some() => {
                return Err(
                    Fault::new("positions are int32, not floats that are known only when the model runs").hint("write `cast(x, int32)`")
                );
            }
            None => self.session.host(index)?,
        };
        let mut whole = Vec::with_capacity(host.len());
        for i in 0..host.len() {
            let v = super::number::whole(host.value(i))?;
            whole.push(i32::try_from(v).map_err(|_| Fault::new(format!("{v} does not fit int32")))?);
        }
        Ok(Tensor::from_host(HostTensor::i32(index.shape().clone(), whole)))
    }

    /// Positions whose values the host knows are checked; a device reads 0 outside.
    fn check_positions(&mut self, index: &Tensor, n: usize) -> Result<(), Fault> {
        if let Some(host) = index.known() {
            for &i in host.as_i32().unwrap_or_default() {
                position(i64::from(i), n)?;
            }
        }
        Ok(())
    }
}

/// Elements along `axis` at positions, of which negative ones count from the end.
fn gather(g: &mut Graph, x: NodeId, index: NodeId, axis: usize, n: usize) -> Result<NodeId, GraphError> {
    let zero = g.literal_i32(0);
    let size = g.literal_i32(n as i32);
    let is_negative = g.binary(crate::graph::BinaryOp::Lt, index, zero)?;
    let wrapped = g.binary(crate::graph::BinaryOp::Add, index, size)?;
    let at = g.select(is_negative, wrapped, index)?;
    g.add(crate::graph::Op::Gather { axis }, &[x, at])
}

/// Element `flat` of a host tensor as a number.
pub(in crate::lang) fn element(host: &HostTensor, flat: usize) -> Value {
    match host.dtype {
        DType::I32 => Value::Int(host.value(flat) as i64),
        DType::Bool => Value::Bool(host.value(flat) != 0.0),
        _ => Value::Float(host.value(flat)),
    }
}

fn one<'a>(args: &'a [IndexValue], base: &Value) -> Result<&'a IndexValue, Fault> {
    match args {
        [arg] => Ok(arg),
        _ => Err(Fault::new(format!("{} takes one index, not {}", base.type_name(), args.len()))),
    }
}

/// A position from the start; negative ones count from the end.
pub(super) fn position(i: i64, len: usize) -> Result<usize, Fault> {
    let at = if i < 0 { i.checked_add(len as i64) } else { Some(i) };
    match at.and_then(|at| usize::try_from(at).ok()) {
        Some(at) if at < len => Ok(at),
        _ => Err(Fault::new(format!("index {i} is out of range for {len} {}", if len == 1 { "element" } else { "elements" }))),
    }
}

/// First position and number of elements of `start:end:step` over `len` elements. Bounds outside are cut, as in Python.
pub fn resolve_slice(start: Option<i64>, end: Option<i64>, step: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let clamp = |i: i64, low: i64, high: i64| (if i < 0 { i.saturating_add(len) } else { i }).clamp(low, high);
    if step > 0 {
        let first = start.map_or(0, |s| clamp(s, 0, len));
        let last = end.map_or(len, |e| clamp(e, 0, len));
        let n = if last > first { ((last - first) as u64).div_ceil(step as u64) } else { 0 };
        (first as usize, n as usize)
    } else {
        let first = start.map_or(len - 1, |s| clamp(s, -1, len - 1));
        let last = end.map_or(-1, |e| clamp(e, -1, len - 1));
        let n = if first > last { ((first - last) as u64).div_ceil(step.unsigned_abs()) } else { 0 };
        (first.max(0) as usize, n as usize)
    }
}

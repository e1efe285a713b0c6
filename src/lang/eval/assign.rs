//! Assignment. Values are changed through the variable that holds them, so a copy never changes with its original.

use std::sync::Arc;

use crate::graph::{BinaryOp as GraphBinary, Op};
use crate::lang::hir::{Expr, Place, Step, Target};
use crate::lang::interp::Interp;
use crate::lang::session::{Operand, Tensor};
use crate::lang::value::{Fault, Value};
use crate::source::Span;
use crate::syntax::ast::BinaryOp;
use crate::tensor::{DType, HostData, HostTensor};

use super::call::record_mut;
use super::index::position;
use super::ops::operand;
use super::{Eval, Frame, IndexValue, Local, resolve_slice};

/// A step inwards, its indices evaluated.
#[derive(Clone)]
pub(super) enum PathStep {
    Field(Arc<str>),
    Index(Vec<IndexValue>),
}

impl Interp {
    pub(super) fn assign(&mut self, frame: &mut Frame, target: &Target, op: Option<BinaryOp>, op_span: Span, value: &Expr) -> Eval<()> {
        let at = value.span;
        self.check_changes(frame, target.root, &target.root_name, target.span)?;
        let path = self.walk(frame, target)?;
        let new = match op {
            None => self.expr(frame, value)?,
            Some(op) => {
                let right = self.expr(frame, value)?;
                // `s += x` takes the string out of its variable, so that a loop does not copy it at every turn.
                let old = self.read_path(frame, target, &path)?;
                self.session.set_place(target.span.to(at));
                let result = self.binary(op, &old, &right);
                result.map_err(|mut fault| {
                    if let (Value::Tensor(x), Value::Tensor(y)) = (&old, &right) {
                        fault.label = Some(format!("left is {}, right is {}", x.shape(), y.shape()));
                    }
                    self.fault(fault, op_span)
                })?
            }
        };
        if path.is_empty() {
            // Reading the variable checks that its `let` has run, and that no call has been lent it.
            if op.is_none() {
                self.read(frame, target.root, &target.root_name, target.span)?;
            }
            let new = self.kept_type(frame, target, new, at)?;
            self.write(frame, target.root, new);
            return Ok(());
        }
        self.session.set_place(target.span);
        self.write_path(frame, target, &path, new)
    }

    /// Evaluates the indices of a target, once.
    pub(super) fn walk(&mut self, frame: &mut Frame, target: &Target) -> Eval<Vec<PathStep>> {
        let mut path = Vec::with_capacity(target.steps.len());
        for step in &target.steps {
            path.push(match step {
                Step::Field(name, _) => PathStep::Field(name.clone()),
                Step::Index(args, _) => PathStep::Index(self.index_values(frame, args)?),
            });
        }
        Ok(path)
    }

    pub(super) fn read_path(&mut self, frame: &mut Frame, target: &Target, path: &[PathStep]) -> Eval<Value> {
        let value = self.read(frame, target.root, &target.root_name, target.span)?;
        self.read_steps(value, target, path)
    }

    /// What lies at the end of a path into a value.
    pub(super) fn read_steps(&mut self, mut value: Value, target: &Target, path: &[PathStep]) -> Eval<Value> {
        for (step, written) in path.iter().zip(&target.steps) {
            let result = match step {
                PathStep::Field(name) => self.field(&value, name),
                PathStep::Index(args) => {
                    self.session.set_place(target.span);
                    self.index(&value, args)
                }
            };
            let at = match written {
                Step::Field(_, span) | Step::Index(_, span) => *span,
            };
            value = self.placed(result, at)?;
        }
        Ok(value)
    }

    /// Takes what a target holds out of it, for a change in place; `write_path` puts it back.
    pub(super) fn take_path(&mut self, frame: &mut Frame, target: &Target, path: &[PathStep]) -> Eval<Value> {
        let mut root = self.take_root(frame, target, Value::Unit)?;
        let taken = take_inner(&mut root, path);
        self.write(frame, target.root, root);
        match taken {
            Some(value) => Ok(value),
            None => self.read_path(frame, target, path),
        }
    }

    pub(super) fn write_path(&mut self, frame: &mut Frame, target: &Target, path: &[PathStep], new: Value) -> Eval<()> {
        let mut root = self.take_root(frame, target, Value::Unit)?;
        let result = self.store(&mut root, path, new);
        self.write(frame, target.root, root);
        self.placed(result, target.span)
    }

    /// Takes the variable's value out while it is changed, so that nothing else holds it. `left` stands there meanwhile.
    pub(super) fn take_root(&mut self, frame: &mut Frame, target: &Target, left: Value) -> Eval<Value> {
        self.read(frame, target.root, &target.root_name, target.span)?;
        Ok(match target.root {
            Place::Local(slot) => match &mut frame.locals[slot as usize] {
                Local::Plain(value) => std::mem::replace(value, left),
                Local::Shared(var) => std::mem::replace(&mut *var.lock(), left),
            },
            Place::Captured(index) => match &frame.closure {
                Some(closure) => std::mem::replace(&mut *closure.captured[index as usize].lock(), left),
                None => left,
            },
            Place::Global(slot) => match self.globals.get_mut(slot as usize) {
                Some(value) => value.replace(left).unwrap_or(Value::Unit),
                None => left,
            },
        })
    }

    /// A value for a whole variable, held to the type that the variable was declared with.
    pub(super) fn kept_type(&mut self, frame: &mut Frame, target: &Target, value: Value, at: Span) -> Eval<Value> {
        let ty = match target.root {
            Place::Global(slot) => self.global_types.get(&slot).cloned(),
            _ => target.root_type.clone(),
        };
        let Some(ty) = ty else { return Ok(value) };
        let value = self.converted(value, &ty, at)?;
        match target.root {
            Place::Local(_) => self.check_type(&ty, value, &target.root_name, at, &mut frame.dims),
            // The sizes of another function's dimension names are not this one's.
            _ => self.check_type(&ty, value, &target.root_name, at, &mut Vec::new()),
        }
    }

    pub(super) fn store(&mut self, into: &mut Value, path: &[PathStep], new: Value) -> Result<(), Fault> {
        let Some((step, rest)) = path.split_first() else {
            *into = new;
            return Ok(());
        };
        match (step, into) {
            (PathStep::Field(name), Value::Record(record)) => {
                let Some(i) = record.def.field(name) else {
                    return Err(Fault::new(format!("`{}` has no field `{name}`", record.def.name())));
                };
                let mut new = new;
                if rest.is_empty()
                    && let Some(ty) = &record.def.code.fields[i].ty
                {
                    new = self.fitted(new, ty)?;
                    if let Err(error) = ty.check(&new, name, ty.span, &mut Vec::new()) {
                        return Err(Fault::new(error.message).reason(ty.span, "declared here"));
                    }
                }
                self.store(&mut record_mut(record).fields[i], rest, new)
            }
            (PathStep::Field(name), other) => Err(Fault::new(format!("field `{name}` of {} cannot be assigned", other.type_name()))),
            (PathStep::Index(args), Value::List(items)) => match &args[..] {
                [IndexValue::At(i)] => {
                    let at = position(*i, items.0.len())?;
                    self.store(&mut Arc::make_mut(items).0[at], rest, new)
                }
                _ => Err(Fault::new("an element of a list is assigned by one int")),
            },
            (PathStep::Index(args), Value::Tensor(tensor)) if rest.is_empty() => self.store_in_tensor(tensor, args, new),
            (PathStep::Index(_), Value::Tensor(_)) => {
                Err(Fault::new("an element of a tensor is a number, which has nothing inside").hint("write `x[i, j] = v`"))
            }
            (PathStep::Index(_), other) => {
                let fault = Fault::new(format!("an element of {} cannot be assigned", other.type_name()));
                Err(match other {
                    Value::Tuple(_) => fault.hint("a tuple is fixed: make a list, or a new tuple"),
                    Value::Str(_) => fault.hint("a string is fixed: make a new one with `+`"),
                    _ => fault,
                })
            }
        }
    }

    /// `x[…] = v`: in the host's copy where no one else sees it, else as nodes that give a new tensor.
    fn store_in_tensor(&mut self, tensor: &mut Tensor, args: &[IndexValue], new: Value) -> Result<(), Fault> {
        let shape = tensor.shape().clone();
        if args.len() > shape.rank() {
            return Err(
                Fault::new(format!("{} indices for a tensor of {} dimensions", args.len(), shape.rank())).label(format!("it is {shape}"))
            );
        }
        if !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::I32 | DType::Bool) || tensor.as_weight().is_some() {
            return Err(Fault::new("a weight of a model cannot be changed").hint("write `let w = cast(weight, float32)` and change that"));
        }
        let mut ranges: Vec<(usize, i64, usize)> = shape.iter().map(|&d| (0, 1, d)).collect();
        let mut dims = Vec::new();
        for (axis, range) in ranges.iter_mut().enumerate() {
            match args.get(axis) {
                Some(IndexValue::At(i)) => {
                    let at = position(*i, shape[axis]).map_err(|f| f.reworded(|m| format!("{m} of dimension {axis} of {shape}")))?;
                    *range = (at, 1, 1);
                }
                Some(IndexValue::Slice { start, end, step }) => {
                    let (first, n) = resolve_slice(*start, *end, *step, shape[axis]);
                    *range = (first, *step, n);
                    dims.push(n);
                }
                Some(IndexValue::Gather(_)) => {
                    return Err(Fault::new("elements are assigned by ints and slices, not by a tensor").hint("write `scatter(x, i, v)`"));
                }
                None => dims.push(range.2),
            }
        }
        let value = operand(&new).ok_or_else(|| Fault::new(format!("an element is a number, not {}", new.type_name())))?;
        check_kind(tensor.dtype(), &value)?;
        if let Operand::Tensor(v) = &value {
            let fits = v.shape().broadcast(&dims.clone().into()).is_ok_and(|s| s.dims() == dims);
            if !fits {
                let want = crate::tensor::Shape::new(dims);
                return Err(Fault::new(format!("cannot store {} into a part of {want}", v.shape())));
            }
        }
        if let (false, Some(host)) = (matches!(value, Operand::Tensor(_)), tensor.unshared_host()) {
            store_on_host(host, &ranges, &value);
            return Ok(());
        }
        let is_element = dims.is_empty();
        *tensor = if is_element { self.store_element(tensor, &ranges, &value)? } else { self.store_part(tensor, &ranges, &dims, &value)? };
        Ok(())
    }

    /// One element by a mask over the flat index: chains of them fuse, and the place is a literal of the plan.
    fn store_element(&mut self, tensor: &Tensor, ranges: &[(usize, i64, usize)], value: &Operand) -> Result<Tensor, Fault> {
        let shape = tensor.shape().clone();
        let flat: usize = ranges.iter().zip(shape.strides()).map(|(r, s)| r.0 * s).sum();
        let dtype = tensor.dtype();
        let inputs: Vec<&Tensor> = match value {
            Operand::Tensor(v) => vec![tensor, v],
            _ => vec![tensor],
        };
        self.session.build(&inputs, |g, n| {
            let index = g.iota(shape.len());
            let index = g.reshape(index, shape.clone())?;
            let at = g.literal_i32(flat as i32);
            let here = g.binary(GraphBinary::Eq, index, at)?;
            let v = match value {
                Operand::Tensor(_) => g.reshape(n[1], crate::tensor::Shape::scalar())?,
                other => other.literal(g, dtype.is_float())?,
            };
            let v = g.cast(v, dtype)?;
            g.select(here, v, n[0])
        })
    }

    /// A part: every element of the result comes from the old tensor or from the value, by a list of flat positions.
    fn store_part(&mut self, tensor: &Tensor, ranges: &[(usize, i64, usize)], dims: &[usize], value: &Operand) -> Result<Tensor, Fault> {
        let shape = tensor.shape().clone();
        let len = shape.len();
        let mut source: Vec<i32> = (0..len as i32).collect();
        let n_stored: usize = dims.iter().product();
        for_each_stored(&shape, ranges, |flat, k| source[flat] = (len + k) as i32);
        let source = Tensor::from_host(HostTensor::i32([len], source));
        let dtype = tensor.dtype();
        let mut inputs: Vec<&Tensor> = vec![tensor, &source];
        if let Operand::Tensor(v) = value {
            inputs.push(v);
        }
        self.session.build(&inputs, |g, n| {
            let v = match value {
                Operand::Tensor(_) => n[2],
                other => other.literal(g, dtype.is_float())?,
            };
            let v = g.cast(v, dtype)?;
            let v = g.broadcast_to(v, dims.to_vec())?;
            let v = g.reshape(v, [n_stored])?;
            let old = g.reshape(n[0], [len])?;
            let both = g.concat(&[old, v], 0)?;
            let merged = g.add(Op::Gather { axis: 0 }, &[both, n[1]])?;
            g.reshape(merged, shape.clone())
        })
    }
}

/// What lies at the end of a path, by move; `None` where it cannot be moved out.
pub(super) fn take_inner(value: &mut Value, path: &[PathStep]) -> Option<Value> {
    let Some((step, rest)) = path.split_first() else {
        return Some(std::mem::replace(value, Value::Unit));
    };
    match (step, value) {
        (PathStep::Field(name), Value::Record(record)) => {
            let i = record.def.field(name)?;
            take_inner(&mut record_mut(record).fields[i], rest)
        }
        (PathStep::Index(args), Value::List(items)) => match &args[..] {
            [IndexValue::At(i)] => {
                let at = position(*i, items.0.len()).ok()?;
                take_inner(&mut Arc::make_mut(items).0[at], rest)
            }
            _ => None,
        },
        _ => None,
    }
}

fn check_kind(dtype: DType, value: &Operand) -> Result<(), Fault> {
    let is_int = !dtype.is_float();
    match value {
        Operand::Float(v) if is_int => {
            Err(Fault::new(format!("cannot store the float {v:?} in an {} tensor", crate::lang::value::dtype_name(dtype)))
                .hint("write `int(x)`"))
        }
        Operand::Tensor(t) if is_int && t.dtype().is_float() => {
            Err(Fault::new("cannot store floats in an int32 tensor").hint("write `cast(x, int32)`"))
        }
        Operand::Int(v) if dtype == DType::I32 && i32::try_from(*v).is_err() => Err(Fault::new(format!("{v} does not fit int32"))),
        _ => Ok(()),
    }
}

/// Calls `f` with the flat position of each element of the part and its number within the part.
fn for_each_stored(shape: &crate::tensor::Shape, ranges: &[(usize, i64, usize)], mut f: impl FnMut(usize, usize)) {
    let strides = shape.strides();
    let n: usize = ranges.iter().map(|r| r.2).product();
    for k in 0..n {
        let (mut rest, mut flat) = (k, 0);
        for (range, stride) in ranges.iter().zip(&strides).rev() {
            let i = rest % range.2;
            rest /= range.2;
            flat += (range.0 as i64 + i as i64 * range.1) as usize * stride;
        }
        f(flat, k);
    }
}

fn store_on_host(host: &mut HostTensor, ranges: &[(usize, i64, usize)], value: &Operand) {
    let shape = host.shape.clone();
    let dtype = host.dtype;
    let number = match value {
        Operand::Float(v) => *v,
        Operand::Int(v) => *v as f64,
        Operand::Bool(v) => f64::from(u8::from(*v)),
        Operand::Tensor(_) => return,
    };
    match &mut host.data {
        HostData::F32(data) => {
            let v = crate::graph::math::round_to(dtype, number as f32);
            for_each_stored(&shape, ranges, |flat, _| data[flat] = v);
        }
        HostData::I32(data) => {
            let v = if dtype == DType::Bool { i32::from(number != 0.0) } else { number as i32 };
            for_each_stored(&shape, ranges, |flat, _| data[flat] = v);
        }
    }
}

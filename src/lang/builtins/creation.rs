//! Making tensors.

use crate::graph::{Graph, GraphError, NodeId, RandomKind};
use crate::lang::eval::{element, operand};
use crate::lang::interp::Interp;
use crate::lang::random::RandomStream;
use crate::lang::session::{Operand, Tensor};
use crate::lang::value::{Fault, Value};
use crate::tensor::{DType, HostTensor, Shape};

use super::args::{Args, to_shape};
use super::{Builtin, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "zeros",
        signature: "zeros(shape, ...sizes, dtype = float32) -> tensor",
        section: "tensor",
        doc: "A tensor of zeros: `zeros([2, 3])` or `zeros(2, 3)`.",
        run: Run::Call(|interp, args| constant(interp, args, 0.0)),
    },
    Builtin {
        name: "ones",
        signature: "ones(shape, ...sizes, dtype = float32) -> tensor",
        section: "tensor",
        doc: "A tensor of ones.",
        run: Run::Call(|interp, args| constant(interp, args, 1.0)),
    },
    Builtin {
        name: "full",
        signature: "full(shape, value: number, dtype = of the value) -> tensor",
        section: "tensor",
        doc: "A tensor whose elements are all `value`.",
        run: Run::Call(full),
    },
    Builtin {
        name: "arange",
        signature: "arange(start: number, end: number =, step: number = 1, dtype = of the numbers) -> tensor",
        section: "tensor",
        doc: "`start, start + step, …` before `end`; `arange(n)` is `0, 1, … n - 1`. Ints make int32, floats float32.",
        run: Run::Call(|interp, args| {
            let dtype = args.is_given(3).then(|| args.dtype_or(3, DType::F32)).transpose()?;
            match (arange(interp, args)?, dtype) {
                (Value::Tensor(made), Some(dtype)) => cast_tensor(interp, &made, dtype),
                (made, _) => Ok(made),
            }
        }),
    },
    Builtin {
        name: "eye",
        signature: "eye(n: int, m: int = n, dtype = float32) -> tensor",
        section: "tensor",
        doc: "Ones on the diagonal, zeros elsewhere.",
        run: Run::Call(eye),
    },
    Builtin {
        name: "rand",
        signature: "rand(shape, ...sizes, seed: int = the next) -> tensor",
        section: "tensor",
        doc: "Uniform values from 0 up to 1. One seed gives the same values on every device; without one each call takes the next of the stream that \
              `seed(n)` sets.",
        run: Run::Call(|interp, args| random(interp, args, RandomKind::Uniform)),
    },
    Builtin {
        name: "randn",
        signature: "randn(shape, ...sizes, seed: int = the next) -> tensor",
        section: "tensor",
        doc: "Standard normal values. One seed gives the same values on every device; without one each call takes the next of the stream that \
              `seed(n)` sets.",
        run: Run::Call(|interp, args| random(interp, args, RandomKind::Normal)),
    },
    Builtin {
        name: "seed",
        signature: "seed(n: int)",
        section: "tensor",
        doc: "Starts the stream from which random functions without a seed of their own take theirs. A program starts with `seed(0)`.",
        run: Run::Call(|interp, args| {
            interp.random = RandomStream::new(args.seed(interp, 0)?);
            Ok(Value::Unit)
        }),
    },
    Builtin {
        name: "next_seed",
        signature: "next_seed() -> int",
        section: "tensor",
        doc: "The next seed of the stream that `seed(n)` sets: the default of a random function of your own, `fn noise(x, seed: int = next_seed())`.",
        run: Run::Call(|interp, _| Ok(Value::Int(i64::from(interp.next_seed()?)))),
    },
    Builtin {
        name: "tensor",
        signature: "tensor(x, dtype = of the values) -> tensor",
        section: "tensor",
        doc: "A tensor of a number or of a (nested) list of numbers.",
        run: Run::Call(tensor),
    },
    Builtin {
        name: "cast",
        signature: "cast(x: tensor, dtype) -> tensor",
        section: "tensor",
        doc: "The same values in another element type; to an int, towards zero. `x as float16[...]` does the same.",
        run: Run::Call(cast),
    },
    Builtin {
        name: "item",
        signature: "item(x: tensor) -> number",
        section: "tensor",
        doc: "The only element of a tensor, as a number.",
        run: Run::Call(item),
    },
    Builtin {
        name: "to_list",
        signature: "to_list(x: tensor) -> list",
        section: "tensor",
        doc: "The elements as numbers, in nested lists.",
        run: Run::Call(to_list),
    },
];

fn constant(interp: &mut Interp, mut args: Args, value: f64) -> Outcome {
    let dtype = args.dtype_or(2, DType::F32)?;
    let sizes = args.shape_or_rest(interp, 0)?;
    let shape = to_shape(&sizes.values).map_err(|f| args.fail(0, f))?;
    filled(interp, &Operand::Float(value), shape, sizes.counts, dtype)
}

fn full(interp: &mut Interp, args: Args) -> Outcome {
    let (shape, counts) = args.shape(interp, 0)?;
    let value = args.operand(1)?;
    let dtype = match &value {
        Operand::Int(_) => DType::I32,
        Operand::Bool(_) => DType::Bool,
        Operand::Float(_) => DType::F32,
        Operand::Tensor(t) => t.dtype(),
    };
    let dtype = args.dtype_or(2, dtype)?;
    filled(interp, &value, shape, counts, dtype)
}

fn filled(interp: &mut Interp, value: &Operand, shape: Shape, counts: u32, dtype: DType) -> Outcome {
    let counted = interp.counted_dim(counts)?;
    let inputs: Vec<&Tensor> = match value {
        Operand::Tensor(t) => vec![t],
        _ => Vec::new(),
    };
    let built = interp.session.build(&inputs, |g, n| {
        let scalar = match value {
            Operand::Tensor(_) => n[0],
            other => other.literal(g, dtype.is_float())?,
        };
        let scalar = g.cast(scalar, dtype)?;
        let filled = g.broadcast_to(scalar, shape)?;
        if let Some(dim) = counted {
            g.set_long_as_tokens(filled, dim);
        }
        Ok(filled)
    })?;
    Ok(Value::Tensor(built))
}

fn arange(interp: &mut Interp, args: Args) -> Outcome {
    let first = args.value(0);
    let (start, end) = if args.is_given(1) { (first, args.value(1)) } else { (Value::Int(0), first) };
    let step = if args.is_given(2) { args.value(2) } else { Value::Int(1) };
    if let (Value::Int(0), Value::Int(1), Value::Tensor(t)) = (&start, &step, &end)
        && t.shape().rank() == 0
        && let Some((n, _)) = t.as_sizes()
    {
        // One row a token, whatever their number.
        let n = n[0] as usize;
        return Ok(Value::Tensor(interp.session.build(&[], |g, _| {
            let rows = g.iota(n);
            g.set_long_as_tokens(rows, 0);
            Ok(rows)
        })?));
    }
    let is_float = [&start, &end, &step].iter().any(|v| matches!(v, Value::Float(_)));
    if is_float {
        let number = |v: &Value| match v {
            Value::Int(v) => Ok(*v as f64),
            Value::Float(v) => Ok(*v),
            other => Err(Fault::new(format!("a number is needed here, not {}", other.type_name()))),
        };
        let (start, end, step) = (number(&start)?, number(&end)?, number(&step)?);
        if step == 0.0 || !(end - start).is_finite() || !step.is_finite() {
            return Err(Fault::new(format!("arange cannot go from {start} to {end} by {step}")).into());
        }
        let n = ((end - start) / step).ceil().max(0.0);
        let shape = to_shape(&[n as i64])?;
        let data = (0..shape.len()).map(|i| (start + i as f64 * step) as f32).collect();
        return Ok(Value::Tensor(Tensor::from_host(HostTensor::f32(shape, data))));
    }
    let (start, end, step) = (interp.int(&start)?, interp.int(&end)?, interp.int(&step)?);
    if step == 0 {
        return Err(Fault::new("arange cannot go by 0").into());
    }
    let range = crate::lang::value::IntRange { start, end, step };
    let shape = to_shape(&[i64::try_from(range.len()).unwrap_or(i64::MAX)])?;
    let data: Option<Vec<i32>> = (0..shape.len() as u64).map(|i| i32::try_from(range.at(i)).ok()).collect();
    match data {
        Some(data) => Ok(Value::Tensor(Tensor::from_host(HostTensor::i32(shape, data)))),
        None => Err(Fault::new(format!("arange from {start} to {end} leaves int32")).into()),
    }
}

fn eye(interp: &mut Interp, args: Args) -> Outcome {
    let n = args.count(interp, 0)?;
    let m = if args.is_given(1) { args.count(interp, 1)? } else { n };
    let dtype = args.dtype_or(2, DType::F32)?;
    let shape = to_shape(&[n as i64, m as i64])?;
    let built = interp.session.build(&[], |g, _| {
        let rows = g.iota(n);
        let rows = g.reshape(rows, [n, 1])?;
        let columns = g.iota(m);
        let columns = g.reshape(columns, [1, m])?;
        let same = g.binary(crate::graph::BinaryOp::Eq, rows, columns)?;
        let same = g.broadcast_to(same, shape)?;
        g.cast(same, dtype)
    })?;
    Ok(Value::Tensor(built))
}

fn random(interp: &mut Interp, mut args: Args, kind: RandomKind) -> Outcome {
    let seed = args.seed_or_next(interp, 2)?;
    let sizes = args.shape_or_rest(interp, 0)?;
    let shape = to_shape(&sizes.values).map_err(|f| args.fail(0, f))?;
    let counted = interp.counted_dim(sizes.counts)?;
    // An element's number is its place, which further in depends on how many rows there are.
    if counted.is_some_and(|dim| dim > 0) {
        return Err(interp.session.needs_count().into());
    }
    let built = interp.session.build(&[], |g, _| {
        let seed = g.literal_i32(seed as i32);
        let drawn = g.random(kind, shape, seed);
        if let Some(dim) = counted {
            g.set_long_as_tokens(drawn, dim);
        }
        Ok(drawn)
    })?;
    Ok(Value::Tensor(built))
}

fn tensor(interp: &mut Interp, args: Args) -> Outcome {
    let made = nested(interp, &args.value(0), 0)?;
    let made = match made {
        Value::Tensor(t) => t,
        _ => args.tensor(interp, 0)?,
    };
    let dtype = args.dtype_or(1, made.dtype())?;
    cast_tensor(interp, &made, dtype)
}

/// Lists of lists of numbers, as a tensor; anything else as it is.
fn nested(interp: &mut Interp, value: &Value, depth: usize) -> Result<Value, Fault> {
    let items = match value {
        Value::List(items) => items,
        Value::Range(range) => {
            if range.len() > 1 << 24 {
                return Err(Fault::new(format!("a range of {} is too long to list", range.len())).hint("write `arange(start, end)`"));
            }
            let numbers: Vec<Value> = (0..range.len()).map(|i| Value::Int(range.at(i))).collect();
            return interp.tensor_of(&numbers).map(Value::Tensor);
        }
        other => return Ok(other.clone()),
    };
    if depth > 16 {
        return Err(Fault::new("a tensor has at most 16 dimensions"));
    }
    let mut parts = Vec::with_capacity(items.0.len());
    for item in &items.0 {
        parts.push(match nested(interp, item, depth + 1)? {
            Value::Tensor(t) if t.shape().rank() == 0 => element(&*interp.session.host(&t)?, 0),
            other => other,
        });
    }
    if parts.is_empty() {
        return Ok(Value::Tensor(Tensor::from_host(HostTensor::f32([0], Vec::new()))));
    }
    interp.tensor_of(&parts).map(Value::Tensor)
}

fn cast(interp: &mut Interp, args: Args) -> Outcome {
    let dtype = args.dtype_or(1, DType::F32)?;
    let x = args.tensor(interp, 0)?;
    cast_tensor(interp, &x, dtype)
}

fn cast_tensor(interp: &mut Interp, x: &Tensor, dtype: DType) -> Outcome {
    if x.dtype() == dtype {
        return Ok(Value::Tensor(x.clone()));
    }
    Ok(Value::Tensor(interp.session.build(&[x], |g, n| cast_node(g, n[0], dtype))?))
}

fn cast_node(g: &mut Graph, x: NodeId, dtype: DType) -> Result<NodeId, GraphError> {
    g.cast(x, dtype)
}

fn item(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    if x.shape().len() != 1 {
        return Err(args.fail(
            0,
            Fault::new(format!("`item` takes a tensor of one element, not {}", x.shape())).hint("write `x[i]`, or `to_list(x)`"),
        ));
    }
    Ok(element(&*interp.session.host(&x)?, 0))
}

fn to_list(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let host = interp.session.host(&x)?;
    let (list, _) = rows_from(&host, 0, 0);
    Ok(list)
}

fn rows_from(host: &HostTensor, axis: usize, base: usize) -> (Value, usize) {
    if axis == host.shape.rank() {
        return (element(host, base), base);
    }
    let n = host.shape[axis];
    let items = (0..n).map(|i| rows_from(host, axis + 1, base * n + i).0).collect();
    (Value::list(items), base)
}

/// `x as T` and declared tensors: the conversions that `as` makes.
impl Interp {
    /// A tensor of a number or of a (nested) list of numbers; a tensor as it is.
    ///
    /// # Errors
    /// For any other value, and for rows that do not stack.
    pub(in crate::lang) fn tensor_from(&mut self, value: &Value) -> Result<Tensor, Fault> {
        match nested(self, value, 0)? {
            Value::Tensor(t) => Ok(t),
            other if operand(&other).is_some() => {
                let one = self.tensor_of(std::slice::from_ref(&other))?;
                self.session.build(&[&one], |g, n| g.reshape(n[0], Shape::scalar()))
            }
            other => Err(Fault::new(format!("{} is no tensor", other.type_name()))),
        }
    }

    pub(in crate::lang) fn cast_value(&mut self, value: &Value, dtype: DType) -> Result<Value, Fault> {
        let x = self.tensor_from(value)?;
        if x.dtype() == dtype {
            return Ok(Value::Tensor(x));
        }
        self.session.build(&[&x], |g, n| g.cast(n[0], dtype)).map(Value::Tensor)
    }
}

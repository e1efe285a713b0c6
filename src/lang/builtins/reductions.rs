//! Sums and their like, along one dimension or over all elements.

use crate::graph::math::{max_f64, min_f64};
use crate::graph::{Graph, GraphError, NodeId, Op, ReduceOp};
use crate::lang::interp::Interp;
use crate::lang::session::Operand;
use crate::lang::value::{Fault, Value};
use crate::tensor::DType;

use super::args::Args;
use super::{Builtin, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "sum",
        signature: "sum(x: tensor, dim: int = all, keep: bool = false) -> tensor",
        section: "tensor",
        doc: "The sum along `dim`, or of all elements.",
        run: Run::Call(|interp, args| reduce(interp, args, ReduceOp::Sum)),
    },
    Builtin {
        name: "mean",
        signature: "mean(x: tensor, dim: int = all, keep: bool = false) -> tensor",
        section: "tensor",
        doc: "The mean along `dim`, or of all elements.",
        run: Run::Call(|interp, args| reduce(interp, args, ReduceOp::Mean)),
    },
    Builtin {
        name: "prod",
        signature: "prod(x: tensor, dim: int = all, keep: bool = false) -> tensor",
        section: "tensor",
        doc: "The product along `dim`, or of all elements.",
        run: Run::Call(|interp, args| reduce(interp, args, ReduceOp::Prod)),
    },
    Builtin {
        name: "max",
        signature: "max(x, dim =, keep: bool = false) -> tensor",
        section: "tensor",
        doc: "The largest element along `dim`, or of all; of two numbers, the larger: `max(a, b)`. NaN where one is.",
        run: Run::Call(|interp, args| extreme(interp, args, ReduceOp::Max)),
    },
    Builtin {
        name: "min",
        signature: "min(x, dim =, keep: bool = false) -> tensor",
        section: "tensor",
        doc: "The smallest element along `dim`, or of all; of two numbers, the smaller: `min(a, b)`. NaN where one is.",
        run: Run::Call(|interp, args| extreme(interp, args, ReduceOp::Min)),
    },
    Builtin {
        name: "argmax",
        signature: "argmax(x: tensor, dim: int = all, keep: bool = false) -> int32 tensor",
        section: "tensor",
        doc: "Where the largest element is: along `dim`, or in the flat tensor. The lowest position on a tie; that of the first NaN where there is one.",
        run: Run::Call(|interp, args| arg_extreme(interp, args, true)),
    },
    Builtin {
        name: "argmin",
        signature: "argmin(x: tensor, dim: int = all, keep: bool = false) -> int32 tensor",
        section: "tensor",
        doc: "Where the smallest element is: along `dim`, or in the flat tensor. The lowest position on a tie; that of the first NaN where there is one.",
        run: Run::Call(|interp, args| arg_extreme(interp, args, false)),
    },
    Builtin {
        name: "cumsum",
        signature: "cumsum(x: tensor, dim: int = -1) -> tensor",
        section: "tensor",
        doc: "The running sum along `dim`.",
        run: Run::Call(cumsum),
    },
    Builtin {
        name: "any",
        signature: "any(x: bool tensor, dim: int = all, keep: bool = false) -> bool tensor",
        section: "tensor",
        doc: "Whether one element holds.",
        run: Run::Call(|interp, args| truth(interp, args, ReduceOp::Max)),
    },
    Builtin {
        name: "all",
        signature: "all(x: bool tensor, dim: int = all, keep: bool = false) -> bool tensor",
        section: "tensor",
        doc: "Whether every element holds.",
        run: Run::Call(|interp, args| truth(interp, args, ReduceOp::Min)),
    },
];

/// Along one dimension, or over all elements in one.
fn along(interp: &mut Interp, args: &Args, f: impl FnOnce(&mut Graph, NodeId, usize, bool) -> Result<NodeId, GraphError>) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let keep = args.bool_or(2, false)?;
    let rank = x.shape().rank();
    if args.is_given(1) {
        let axis = args.axis(interp, 1, rank, -1)?;
        return Ok(Value::Tensor(interp.session.build(&[&x], |g, n| f(g, n[0], axis, keep))?));
    }
    let len = x.shape().len();
    Ok(Value::Tensor(interp.session.build(&[&x], |g, n| {
        let flat = g.reshape(n[0], [len])?;
        let reduced = f(g, flat, 0, false)?;
        if keep { g.reshape(reduced, vec![1; rank]) } else { Ok(reduced) }
    })?))
}

fn reduce(interp: &mut Interp, args: Args, op: ReduceOp) -> Outcome {
    along(interp, &args, |g, x, axis, keep| g.reduce(op, x, axis, keep))
}

/// `max(x)`, `max(x, dim)`, and `max(a, b)` of two numbers or of a list of them.
fn extreme(interp: &mut Interp, args: Args, op: ReduceOp) -> Outcome {
    let is_max = op == ReduceOp::Max;
    let of_numbers = matches!((args.value(0), args.value(1)), (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)));
    if of_numbers && args.is_given(2) {
        return Err(args.fail(2, Fault::new("the larger or smaller of two numbers has no dimension to keep").hint("leave `keep` out")));
    }
    if let (Value::Tensor(_), Value::Tensor(other)) = (args.value(0), args.value(1))
        && other.shape().rank() > 0
    {
        let (name, elementwise) = if is_max { ("max", "maximum") } else { ("min", "minimum") };
        let fault = Fault::new(format!("the second argument of `{name}` is a dimension, not a tensor"));
        return Err(args.fail(1, fault.hint(format!("write `{elementwise}(a, b)` for the two, element by element"))));
    }
    match (args.value(0), args.value(1)) {
        (Value::Tensor(t), _) | (_, Value::Tensor(t)) if t.as_sizes().is_some() => return Err(interp.session.needs_count().into()),
        (Value::Int(a), Value::Int(b)) => return Ok(Value::Int(if is_max { a.max(b) } else { a.min(b) })),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            let (a, b) = (args.float(interp, 0)?, args.float(interp, 1)?);
            return Ok(Value::Float(if is_max { max_f64(a, b) } else { min_f64(a, b) }));
        }
        _ => {}
    }
    if args.is_given(0)
        && let Value::Tensor(t) = args.value(0)
        && t.shape().is_empty()
    {
        return Err(args.fail(0, Fault::new(format!("{} has no elements to choose from", t.shape()))));
    }
    reduce(interp, args, op)
}

fn arg_extreme(interp: &mut Interp, args: Args, is_max: bool) -> Outcome {
    let x = args.tensor(interp, 0)?;
    if x.shape().is_empty() {
        return Err(args.fail(0, Fault::new(format!("{} has no elements to choose from", x.shape()))));
    }
    along(interp, &args, |g, x, axis, keep| g.add(if is_max { Op::ArgMax { axis, keep } } else { Op::ArgMin { axis, keep } }, &[x]))
}

fn cumsum(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let axis = args.axis(interp, 1, x.shape().rank(), -1)?;
    Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.add(Op::CumSum { axis }, &[n[0]]))?))
}

fn truth(interp: &mut Interp, args: Args, op: ReduceOp) -> Outcome {
    if let Ok(Operand::Bool(v)) = args.operand(0) {
        if let Some(i) = [1, 2].into_iter().find(|&i| args.is_given(i)) {
            return Err(args.fail(i, Fault::new("one bool has no dimensions").hint("write `any(x, dim: 0)` of a bool tensor")));
        }
        return Ok(Value::Bool(v));
    }
    let x = args.tensor(interp, 0)?;
    if x.dtype() != DType::Bool {
        return Err(args.fail(
            0,
            Fault::new(format!("a bool tensor is needed here, not {}", crate::lang::value::TensorType(&x))).hint("write `x != 0`"),
        ));
    }
    along(interp, &args, |g, x, axis, keep| {
        let x = g.cast(x, DType::I32)?;
        let reduced = g.reduce(op, x, axis, keep)?;
        g.cast(reduced, DType::Bool)
    })
}

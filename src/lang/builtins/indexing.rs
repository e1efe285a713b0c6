//! Reading and writing at positions that tensors hold; ordering.

use crate::graph::Op;
use crate::lang::interp::Interp;
use crate::lang::session::{Operand, Tensor};
use crate::lang::value::{Fault, Value};
use crate::tensor::{HostTensor, Shape};

use super::args::Args;
use super::{Builtin, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "gather",
        signature: "gather(x: tensor, index: int32 tensor, dim: int = 0) -> tensor",
        section: "tensor",
        doc: "The elements of `x` along `dim` at `index`, whose shape takes the dimension's place. Outside it reads 0.",
        run: Run::Call(gather),
    },
    Builtin {
        name: "scatter",
        signature: "scatter(x: tensor, index: int32 tensor, updates: tensor, dim: int = 0) -> tensor",
        section: "tensor",
        doc: "`x` with `updates` added along `dim` at `index`. What falls outside is dropped.",
        run: Run::Call(scatter),
    },
    Builtin {
        name: "where",
        signature: "where(condition: bool tensor, a, b) -> tensor",
        section: "tensor",
        doc: "`a` where the condition holds, else `b`; elementwise, with broadcasting.",
        run: Run::Call(select),
    },
    Builtin {
        name: "sort",
        signature: "sort(x: tensor, dim: int = -1, descending: bool = false) -> (tensor, tensor)",
        section: "tensor",
        doc: "The values in order along `dim`, and where each was. Equal ones keep their order; NaN comes last either way.",
        run: Run::Call(sort),
    },
    Builtin {
        name: "topk",
        signature: "topk(x: tensor, k: int, dim: int = -1) -> (tensor, tensor)",
        section: "tensor",
        doc: "The `k` largest values along `dim`, largest first, and where each was. NaN counts as the least.",
        run: Run::Call(topk),
    },
];

fn index(interp: &mut Interp, args: &Args, i: usize) -> Result<Tensor, super::Failure> {
    let index = args.tensor(interp, i)?;
    interp.positions(&index).map_err(|f| args.fail(i, f))
}

fn gather(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let at = index(interp, &args, 1)?;
    let axis = args.axis(interp, 2, x.shape().rank(), 0)?;
    Ok(Value::Tensor(interp.session.build(&[&x, &at], |g, n| g.add(Op::Gather { axis }, n))?))
}

fn scatter(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let at = index(interp, &args, 1)?;
    let updates = args.tensor(interp, 2)?;
    let axis = args.axis(interp, 3, x.shape().rank(), 0)?;
    let dtype = x.dtype();
    Ok(Value::Tensor(interp.session.build(&[&x, &at, &updates], |g, n| {
        let updates = g.cast(n[2], dtype)?;
        g.add(Op::ScatterAdd { axis }, &[n[0], n[1], updates])
    })?))
}

fn select(interp: &mut Interp, args: Args) -> Outcome {
    let condition = args.operand(0)?;
    let (a, b) = (args.operand(1)?, args.operand(2)?);
    let condition = match condition {
        Operand::Tensor(t) => t,
        Operand::Bool(v) => Tensor::from_host(HostTensor::bool(Shape::scalar(), vec![v])),
        _ => return Err(args.fail(0, Fault::new("a condition is a bool or a bool tensor").hint("write `x != 0`"))),
    };
    let is_float = [&a, &b].iter().any(|o| match o {
        Operand::Tensor(t) => t.dtype().is_float(),
        Operand::Float(_) => true,
        _ => false,
    });
    let mut inputs = vec![&condition];
    for operand in [&a, &b] {
        if let Operand::Tensor(t) = operand {
            inputs.push(t);
        }
    }
    Ok(Value::Tensor(interp.session.build(&inputs, |g, n| {
        let mut next = n[1..].iter().copied();
        let mut nodes = Vec::with_capacity(2);
        for operand in [&a, &b] {
            nodes.push(match operand {
                Operand::Tensor(_) => next.next().ok_or_else(|| crate::graph::GraphError::new("an operand is missing"))?,
                other => other.literal(g, is_float)?,
            });
        }
        g.select(n[0], nodes[0], nodes[1])
    })?))
}

fn sort(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let axis = args.axis(interp, 1, x.shape().rank(), -1)?;
    let descending = args.bool_or(2, false)?;
    let n = x.shape()[axis];
    ordered(interp, &x, axis, descending, n)
}

fn topk(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let k = args.count(interp, 1)?;
    let axis = args.axis(interp, 2, x.shape().rank(), -1)?;
    if k > x.shape()[axis] {
        return Err(args.fail(1, Fault::new(format!("the largest {k} of {} elements", x.shape()[axis]))));
    }
    ordered(interp, &x, axis, true, k)
}

/// The first `k` values in order along `axis`, and their positions.
fn ordered(interp: &mut Interp, x: &Tensor, axis: usize, descending: bool, k: usize) -> Outcome {
    let rank = x.shape().rank();
    let n = x.shape()[axis];
    let mut to_last: Vec<usize> = (0..rank).collect();
    to_last.swap(axis, rank - 1);
    let mut dims = x.shape().dims().to_vec();
    dims.swap(axis, rank - 1);
    let rows: usize = dims[..rank - 1].iter().product();
    let positions = interp.session.build(&[x], |g, nodes| {
        let x = g.permute(nodes[0], &to_last)?;
        let order = g.add(Op::ArgSort { descending }, &[x])?;
        let mut ranges: Vec<(usize, isize, usize)> = dims.iter().map(|&d| (0, 1, d)).collect();
        ranges[rank - 1].2 = k;
        let order = g.slice(order, &ranges)?;
        g.permute(order, &to_last)
    })?;
    let values = interp.session.build(&[x, &positions], |g, nodes| {
        // Each row gathers from its own part of the flat tensor.
        let x = g.permute(nodes[0], &to_last)?;
        let flat = g.reshape(x, [rows * n])?;
        let order = g.permute(nodes[1], &to_last)?;
        let order = g.reshape(order, [rows, k])?;
        let row = g.iota(rows);
        let row = g.reshape(row, [rows, 1])?;
        let width = g.literal_i32(n as i32);
        let base = g.binary(crate::graph::BinaryOp::Mul, row, width)?;
        let at = g.binary(crate::graph::BinaryOp::Add, order, base)?;
        let picked = g.add(Op::Gather { axis: 0 }, &[flat, at])?;
        let mut out = dims.clone();
        out[rank - 1] = k;
        let picked = g.reshape(picked, out)?;
        g.permute(picked, &to_last)
    })?;
    Ok(Value::tuple(vec![Value::Tensor(values), Value::Tensor(positions)]))
}

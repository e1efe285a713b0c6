//! Shapes and layout.

use crate::graph::TokenDim;
use crate::lang::interp::Interp;
use crate::lang::session::Tensor;
use crate::lang::value::{Fault, Value, dtype_name};
use crate::tensor::Shape;

use super::args::{Args, to_shape};
use super::{Builtin, Failure, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "shape",
        signature: "shape(x: tensor) -> tuple",
        section: "tensor",
        doc: "The sizes of the dimensions, outermost first.",
        run: Run::Call(|interp, args| {
            let x = args.tensor(interp, 0)?;
            Ok(Value::tuple((0..x.shape().rank()).map(|i| interp.session.size(&x, i)).collect()))
        }),
    },
    Builtin {
        name: "rank",
        signature: "rank(x: tensor) -> int",
        section: "tensor",
        doc: "The number of dimensions.",
        run: Run::Call(|interp, args| Ok(Value::Int(args.tensor(interp, 0)?.shape().rank() as i64))),
    },
    Builtin {
        name: "numel",
        signature: "numel(x: tensor) -> int",
        section: "tensor",
        doc: "The number of elements.",
        run: Run::Call(|interp, args| match args.tensor(interp, 0)? {
            x if x.tokens() != TokenDim::None => Err(interp.session.needs_count().into()),
            x => Ok(Value::Int(x.shape().len() as i64)),
        }),
    },
    Builtin {
        name: "dtype",
        signature: "dtype(x: tensor) -> string",
        section: "tensor",
        doc: "The name of the element type.",
        run: Run::Call(|interp, args| Ok(Value::str(dtype_name(args.tensor(interp, 0)?.dtype())))),
    },
    Builtin {
        name: "reshape",
        signature: "reshape(x: tensor, shape, ...sizes) -> tensor",
        section: "tensor",
        doc: "The same elements in another shape. One size may be -1: what is left.",
        run: Run::Call(reshape),
    },
    Builtin {
        name: "flatten",
        signature: "flatten(x: tensor) -> tensor",
        section: "tensor",
        doc: "The elements in one dimension.",
        run: Run::Call(|interp, args| {
            let x = args.tensor(interp, 0)?;
            let len = x.shape().len();
            Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.reshape(n[0], [len]))?))
        }),
    },
    Builtin {
        name: "squeeze",
        signature: "squeeze(x: tensor, dim: int = all of size 1) -> tensor",
        section: "tensor",
        doc: "Without a dimension of size 1, or without all of them.",
        run: Run::Call(squeeze),
    },
    Builtin {
        name: "unsqueeze",
        signature: "unsqueeze(x: tensor, dim: int) -> tensor",
        section: "tensor",
        doc: "With a dimension of size 1 at `dim`.",
        run: Run::Call(unsqueeze),
    },
    Builtin {
        name: "transpose",
        signature: "transpose(x: tensor, dim0: int = -2, dim1: int = -1) -> tensor",
        section: "tensor",
        doc: "Two dimensions exchanged.",
        run: Run::Call(transpose),
    },
    Builtin {
        name: "permute",
        signature: "permute(x: tensor, order, ...dims) -> tensor",
        section: "tensor",
        doc: "Dimension `i` of the result is dimension `order[i]` of `x`.",
        run: Run::Call(permute),
    },
    Builtin {
        name: "broadcast_to",
        signature: "broadcast_to(x: tensor, shape, ...sizes) -> tensor",
        section: "tensor",
        doc: "Read as a larger shape by NumPy's rule.",
        run: Run::Call(broadcast_to),
    },
    Builtin {
        name: "concat",
        signature: "concat(parts: list, ...more, dim: int = 0) -> tensor",
        section: "tensor",
        doc: "Tensors one after the other along a dimension: `concat([a, b], dim: 1)`.",
        run: Run::Call(concat),
    },
    Builtin {
        name: "stack",
        signature: "stack(parts: list, ...more, dim: int = 0) -> tensor",
        section: "tensor",
        doc: "Tensors of one shape along a new dimension.",
        run: Run::Call(stack),
    },
    Builtin {
        name: "split",
        signature: "split(x: tensor, size, dim: int = 0) -> list",
        section: "tensor",
        doc: "Pieces of `size` along a dimension, the last one perhaps smaller; a list of sizes gives one piece each. `split(text, separator)` splits a string.",
        run: Run::Call(split),
    },
    Builtin {
        name: "chunk",
        signature: "chunk(x: tensor, n: int, dim: int = 0) -> list",
        section: "tensor",
        doc: "`n` pieces along a dimension, the last ones perhaps smaller.",
        run: Run::Call(chunk),
    },
    Builtin {
        name: "slice",
        signature: "slice(x: tensor, dim: int, start: int, end: int, step: int = 1) -> tensor",
        section: "tensor",
        doc: "`start:end:step` of one dimension.",
        run: Run::Call(slice),
    },
];

fn reshape(interp: &mut Interp, mut args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let sizes = args.shape_or_rest(interp, 1)?;
    let shape = infer_size(x.shape(), &sizes.values).map_err(|f| args.fail(1, f))?;
    let reshaped = interp.session.build(&[&x], |g, n| g.reshape(n[0], shape))?;
    let is_meant = match reshaped.tokens() {
        TokenDim::None => sizes.counts == 0,
        TokenDim::At(dim) => 1u32.checked_shl(dim as u32) == Some(sizes.counts) || (sizes.counts == 0 && sizes.values[dim] == -1),
        TokenDim::Mixed => true,
    };
    // Another size may equal the bucket by chance.
    if is_meant { Ok(Value::Tensor(reshaped)) } else { Err(interp.session.needs_count().into()) }
}

/// Sizes of which one may be -1.
fn infer_size(from: &Shape, sizes: &[i64]) -> Result<Shape, Fault> {
    if sizes.iter().filter(|&&s| s == -1).count() > 1 {
        return Err(Fault::new("only one size can be -1"));
    }
    let Some(free) = sizes.iter().position(|&s| s == -1) else { return to_shape(sizes) };
    let mut sizes = sizes.to_vec();
    sizes[free] = 1;
    let known = to_shape(&sizes)?.len();
    if known == 0 || !from.len().is_multiple_of(known) {
        return Err(Fault::new(format!("{} elements of {from} do not divide by {known}", from.len())));
    }
    sizes[free] = (from.len() / known) as i64;
    to_shape(&sizes)
}

fn squeeze(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let mut dims = x.shape().dims().to_vec();
    if args.is_given(1) {
        let axis = args.axis(interp, 1, dims.len(), 0)?;
        if dims[axis] != 1 {
            return Err(args.fail(1, Fault::new(format!("dimension {axis} of {} is {}, not 1", x.shape(), dims[axis]))));
        }
        dims.remove(axis);
    } else {
        dims.retain(|&d| d != 1);
    }
    Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.reshape(n[0], dims))?))
}

fn unsqueeze(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let axis = args.axis(interp, 1, x.shape().rank() + 1, 0)?;
    let mut dims = x.shape().dims().to_vec();
    dims.insert(axis, 1);
    Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.reshape(n[0], dims))?))
}

impl Interp {
    /// The last two dimensions exchanged; a vector or a scalar as it is.
    pub(in crate::lang) fn transposed(&mut self, x: &Tensor) -> Result<Tensor, Fault> {
        let rank = x.shape().rank();
        if rank < 2 {
            return Ok(x.clone());
        }
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        self.session.build(&[x], |g, n| g.permute(n[0], &order))
    }
}

fn transpose(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let rank = x.shape().rank();
    if rank < 2 && !args.is_given(1) {
        return Err(args.fail(0, Fault::new(format!("transpose takes two dimensions or more, not {}", x.shape()))));
    }
    let a = args.axis(interp, 1, rank, -2)?;
    let b = args.axis(interp, 2, rank, -1)?;
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(a, b);
    Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.permute(n[0], &order))?))
}

fn permute(interp: &mut Interp, mut args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let rank = x.shape().rank() as i64;
    let order = args.shape_or_rest(interp, 1)?;
    interp.no_count(order.counts)?;
    let order: Option<Vec<usize>> = order.values.iter().map(|&d| usize::try_from(if d < 0 { d + rank } else { d }).ok()).collect();
    let order = order.ok_or_else(|| args.fail(1, Fault::new(format!("the order names a dimension that {} has not", x.shape()))))?;
    Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.permute(n[0], &order))?))
}

fn broadcast_to(interp: &mut Interp, mut args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let sizes = args.shape_or_rest(interp, 1)?;
    let shape = to_shape(&sizes.values).map_err(|f| args.fail(1, f))?;
    let counted = interp.counted_dim(sizes.counts)?;
    let wide = interp.session.build(&[&x], |g, n| {
        let wide = g.broadcast_to(n[0], shape)?;
        if let (Some(dim), true) = (counted, wide != n[0]) {
            g.set_long_as_tokens(wide, dim);
        }
        Ok(wide)
    })?;
    // Another size may equal the bucket by chance.
    let is_meant = wide.tokens() == counted.map_or(TokenDim::None, TokenDim::At) || wide.tokens() == TokenDim::Mixed;
    if is_meant { Ok(Value::Tensor(wide)) } else { Err(interp.session.needs_count().into()) }
}

/// The tensors of a call's list, or of its positional arguments.
fn parts(interp: &mut Interp, args: &mut Args) -> Result<Vec<Tensor>, Failure> {
    let mut parts = Vec::new();
    match args.value(0) {
        Value::List(items) | Value::Tuple(items) => {
            for item in &items.0 {
                match item {
                    Value::Tensor(t) => parts.push(t.clone()),
                    other => return Err(args.fail(0, Fault::new(format!("the list must hold tensors, not {}", other.type_name())))),
                }
            }
        }
        Value::Tensor(t) => parts.push(t),
        other => return Err(args.fail(0, Fault::new(format!("a list of tensors is needed here, not {}", other.type_name())))),
    }
    for (value, at) in args.take_rest() {
        match value {
            Value::Tensor(t) => parts.push(t),
            other => {
                return Err(Failure::At(
                    Fault::new(format!("a tensor is needed here, not {}", other.type_name())).hint("write `dim: 1` for the dimension"),
                    at,
                ));
            }
        }
    }
    if parts.is_empty() {
        return Err(args.fail(0, Fault::new("one tensor or more is needed")));
    }
    // Tensors of different types are joined as the widest: what arithmetic would do.
    let is_float = parts.iter().any(|t| t.dtype().is_float());
    if parts.iter().any(|t| t.dtype() != parts[0].dtype()) {
        let dtype = if is_float { crate::tensor::DType::F32 } else { crate::tensor::DType::I32 };
        for part in &mut parts {
            *part = interp.session.build(&[part], |g, n| g.cast(n[0], dtype))?;
        }
    }
    Ok(parts)
}

fn concat(interp: &mut Interp, mut args: Args) -> Outcome {
    let parts = parts(interp, &mut args)?;
    let axis = args.axis(interp, 2, parts[0].shape().rank(), 0)?;
    let inputs: Vec<&Tensor> = parts.iter().collect();
    Ok(Value::Tensor(interp.session.build(&inputs, |g, n| g.concat(n, axis))?))
}

fn stack(interp: &mut Interp, mut args: Args) -> Outcome {
    let parts = parts(interp, &mut args)?;
    let axis = args.axis(interp, 2, parts[0].shape().rank() + 1, 0)?;
    if let Some(other) = parts.iter().find(|p| p.shape() != parts[0].shape()) {
        return Err(args.fail(0, Fault::new(format!("cannot stack {} and {}: the shapes differ", parts[0].shape(), other.shape()))));
    }
    let inputs: Vec<&Tensor> = parts.iter().collect();
    let mut dims = parts[0].shape().dims().to_vec();
    dims.insert(axis, 1);
    Ok(Value::Tensor(interp.session.build(&inputs, |g, n| {
        let rows = n.iter().map(|&x| g.reshape(x, dims.clone())).collect::<Result<Vec<_>, _>>()?;
        g.concat(&rows, axis)
    })?))
}

fn split(interp: &mut Interp, args: Args) -> Outcome {
    if let text @ (Value::Str(_) | Value::Prompt(_)) = args.value(0) {
        if args.is_given(2) {
            return Err(args.fail(2, Fault::new("a string is split at a separator, not along a dimension").hint("leave `dim` out")));
        }
        let separator = args.str(1)?;
        return Ok(super::strings::split_text(&interp.text(&text)?, &separator));
    }
    let x = args.tensor(interp, 0)?;
    let axis = args.axis(interp, 2, x.shape().rank(), 0)?;
    let n = x.shape()[axis];
    let sizes = match args.value(1) {
        Value::Int(_) | Value::Float(_) => match args.count(interp, 1)? {
            0 => return Err(args.fail(1, Fault::new("a piece cannot have 0 elements"))),
            size => (0..n.div_ceil(size)).map(|i| size.min(n - i * size)).collect(),
        },
        _ => {
            let (sizes, counts) = args.shape(interp, 1)?;
            interp.no_count(counts)?;
            sizes.dims().to_vec()
        }
    };
    if sizes.iter().sum::<usize>() != n {
        return Err(args.fail(1, Fault::new(format!("pieces of {sizes:?} do not add up to {n}"))));
    }
    pieces(interp, &x, axis, &sizes)
}

fn chunk(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let n = args.count(interp, 1)?;
    let axis = args.axis(interp, 2, x.shape().rank(), 0)?;
    let len = x.shape()[axis];
    if n == 0 || n > len {
        return Err(args.fail(1, Fault::new(format!("{len} elements do not make {n} pieces"))));
    }
    let size = len.div_ceil(n);
    let sizes: Vec<usize> = (0..n).map(|i| size.min(len.saturating_sub(i * size))).collect();
    pieces(interp, &x, axis, &sizes)
}

fn pieces(interp: &mut Interp, x: &Tensor, axis: usize, sizes: &[usize]) -> Outcome {
    let mut start = 0;
    let mut list = Vec::with_capacity(sizes.len());
    for &size in sizes {
        let ranges: Vec<_> = x.shape().iter().enumerate().map(|(i, &d)| if i == axis { (start, 1, size) } else { (0, 1, d) }).collect();
        list.push(Value::Tensor(interp.session.build(&[x], |g, n| g.slice(n[0], &ranges))?));
        start += size;
    }
    Ok(Value::list(list))
}

fn slice(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let axis = args.axis(interp, 1, x.shape().rank(), 0)?;
    let (start, end) = (args.int(interp, 2)?, args.int(interp, 3)?);
    let step = args.int_or(interp, 4, 1)?;
    if step == 0 {
        return Err(args.fail(4, Fault::new("a slice's step cannot be 0")));
    }
    let (first, n) = crate::lang::eval::resolve_slice(Some(start), Some(end), step, x.shape()[axis]);
    let ranges: Vec<_> =
        x.shape().iter().enumerate().map(|(i, &d)| if i == axis { (first, step as isize, n) } else { (0, 1, d) }).collect();
    Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.slice(n[0], &ranges))?))
}

//! Shape and type inference: what each op gives for its inputs.

use crate::tensor::{DType, Shape};

use super::build::GraphError;
use super::node::{Graph, NodeId};
use super::op::{BinaryOp, Op, UnaryOp};

type Inferred = Result<(Shape, DType), GraphError>;

/// A value's shape, behind the name of a model's tensor: `blk.0.attn_q.weight (64, 32)`.
fn named(graph: &Graph, id: NodeId) -> String {
    match &graph.node(id).op {
        Op::Weight(weight) => format!("{} {}", weight.name, weight.shape),
        _ => graph.shape(id).to_string(),
    }
}

/// The shape and dtype of `op` applied to `inputs`. Ops whose shape is given by their maker are not asked here.
pub(super) fn infer(graph: &Graph, op: &Op, inputs: &[NodeId]) -> Inferred {
    let shape = |i: usize| graph.shape(inputs[i]);
    let dtype = |i: usize| match graph.dtype(inputs[i]) {
        DType::Quant(_) => DType::F32,
        other => other,
    };
    match op {
        Op::Unary(op) => match (op, dtype(0)) {
            (UnaryOp::Not, DType::Bool) => Ok((shape(0).clone(), DType::Bool)),
            (UnaryOp::Not, other) => Err(GraphError::new(format!("`not` takes bool, not {other}"))),
            (UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign, DType::I32) => Ok((shape(0).clone(), DType::I32)),
            (_, d) if d.is_float() => Ok((shape(0).clone(), d)),
            (_, d) => Err(GraphError::new(format!("{op:?} takes a float, not {d}").to_lowercase())),
        },
        Op::Binary(op) => binary(*op, shape(0), dtype(0), shape(1), dtype(1)),
        Op::Where => {
            let out = broadcast(shape(0), shape(1)).and_then(|s| broadcast(&s, shape(2)))?;
            if dtype(1) != dtype(2) && !(dtype(1).is_float() && dtype(2).is_float()) {
                return Err(GraphError::new(format!("`where` takes two values of one type, not {} and {}", dtype(1), dtype(2))));
            }
            Ok((out, wider(dtype(1), dtype(2))))
        }
        Op::Cast(DType::Quant(q)) => Err(GraphError::new(format!("cannot cast to {}: block formats are read from model files", q.name))),
        Op::Cast(to) => Ok((shape(0).clone(), *to)),
        Op::Permute(axes) => {
            let from = shape(0);
            let mut seen = vec![false; from.rank()];
            let valid = axes.len() == from.rank() && axes.iter().all(|&a| a < from.rank() && !std::mem::replace(&mut seen[a], true));
            if !valid {
                return Err(GraphError::new(format!("{axes:?} is no order of the {} dimensions of {from}", from.rank())));
            }
            // A permuted weight keeps its storage type, so that `x @ transpose(w)` can still use its kernel.
            Ok((Shape::new(axes.iter().map(|&a| from[a]).collect::<Vec<_>>()), graph.dtype(inputs[0])))
        }
        Op::Concat { axis } => concat(&inputs.iter().map(|&i| graph.shape(i)).collect::<Vec<_>>(), *axis).map(|s| (s, dtype(0))),
        Op::SelectRow => match shape(0).split_first() {
            Some((_, rest)) => Ok((Shape::from(rest), dtype(0))),
            None => Err(GraphError::new("cannot index a scalar")),
        },
        Op::LastRows { rows } => match shape(0).split_first() {
            Some((_, rest)) => Ok((Shape::new([&[*rows], rest].concat()), dtype(0))),
            None => Err(GraphError::new("a scalar has no rows")),
        },
        Op::Gather { axis } => {
            check_axis(shape(0), *axis)?;
            int(dtype(1), "gather's indices")?;
            let mut dims = shape(0)[..*axis].to_vec();
            dims.extend(shape(1).dims());
            dims.extend(&shape(0)[axis + 1..]);
            Ok((Shape::new(dims), dtype(0)))
        }
        Op::ScatterAdd { axis } => {
            check_axis(shape(0), *axis)?;
            int(dtype(1), "scatter's indices")?;
            let mut expected = shape(0).dims().to_vec();
            expected[*axis] = shape(1).len();
            if shape(1).rank() != 1 || shape(2).dims() != expected {
                return Err(GraphError::new(format!(
                    "scatter into {} along {axis} with indices {} takes updates {}, not {}",
                    shape(0),
                    shape(1),
                    Shape::new(expected),
                    shape(2)
                )));
            }
            Ok((shape(0).clone(), dtype(0)))
        }
        Op::Reduce { axis, keep, .. } => Ok((reduced(shape(0), *axis, *keep)?, dtype(0))),
        Op::ArgMax { axis, keep } | Op::ArgMin { axis, keep } => Ok((reduced(shape(0), *axis, *keep)?, DType::I32)),
        Op::CumSum { axis } => {
            check_axis(shape(0), *axis)?;
            Ok((shape(0).clone(), dtype(0)))
        }
        Op::ArgSort { .. } => {
            check_axis(shape(0), 0)?;
            Ok((shape(0).clone(), DType::I32))
        }
        Op::Einsum(spec) => {
            let shapes: Vec<_> = inputs.iter().map(|&i| graph.shape(i)).collect();
            spec.infer(&shapes).map(|(_, s)| (s, DType::F32)).map_err(GraphError::new)
        }
        Op::Linear => {
            let (x, w) = (shape(0), shape(1));
            if w.rank() != 2 || x.rank() == 0 {
                return Err(GraphError::new(format!("linear takes x (..., K) and w (N, K), not {x} and {}", named(graph, inputs[1]))));
            }
            if x.last_dim() != w[1] {
                let weight = named(graph, inputs[1]);
                let (theirs, ours) = (w[1], x.last_dim());
                return Err(GraphError::new(format!("cannot apply weight {weight} to {x}: inner sizes {theirs} and {ours} differ")));
            }
            let mut dims = x[..x.rank() - 1].to_vec();
            dims.push(w[0]);
            Ok((Shape::new(dims), DType::F32))
        }
        Op::ExpertLinear => {
            int(dtype(2), "expert_linear's ids")?;
            let (x, w, ids) = (shape(0), shape(1), shape(2));
            if w.rank() != 3 || ids.rank() != 2 {
                let message = format!("expert_linear takes w (E, N, K) and ids (T, C), not {} and {ids}", named(graph, inputs[1]));
                return Err(GraphError::new(message));
            }
            let fits = match *x.dims() {
                [t, _] => t == ids[0],
                [t, c, _] => t == ids[0] && c == ids[1],
                _ => false,
            };
            if !fits {
                let message = format!("expert_linear with ids {ids} takes x ({}, K) or ({}, {}, K), not {x}", ids[0], ids[0], ids[1]);
                return Err(GraphError::new(message));
            }
            if x.last_dim() != w[2] {
                let weight = named(graph, inputs[1]);
                let (theirs, ours) = (w[2], x.last_dim());
                return Err(GraphError::new(format!("cannot apply weight {weight} to {x}: inner sizes {theirs} and {ours} differ")));
            }
            Ok((Shape::from([ids[0], ids[1], w[1]]), DType::F32))
        }
        Op::Embedding => {
            int(dtype(0), "embedding's ids")?;
            if shape(1).rank() != 2 {
                return Err(GraphError::new(format!("embedding takes a table (V, C), not {}", named(graph, inputs[1]))));
            }
            let mut dims = shape(0).dims().to_vec();
            dims.push(shape(1)[1]);
            Ok((Shape::new(dims), DType::F32))
        }
        Op::RmsNorm => {
            if shape(0).rank() == 0 || shape(1).dims() != [shape(0).last_dim()] {
                return Err(GraphError::new(format!(
                    "rms_norm of {} takes a weight ({},), not {}",
                    shape(0),
                    shape(0).last_dim(),
                    named(graph, inputs[1])
                )));
            }
            Ok((shape(0).clone(), DType::F32))
        }
        Op::Softmax { axis } => {
            check_axis(shape(0), *axis)?;
            Ok((shape(0).clone(), DType::F32))
        }
        Op::Rope { n_dims, .. } => {
            let (x, rows) = (shape(0), shape(1));
            if x.rank() != 3 || rows.dims() != [x[0], n_dims / 2, 2] || *n_dims > x[2] {
                return Err(GraphError::new(format!(
                    "rope takes x (T, H, D) with at least {n_dims} dimensions a head and {} rows, not {x}",
                    rows.dims().first().unwrap_or(&0)
                )));
            }
            Ok((x.clone(), DType::F32))
        }
        Op::Attention { null_logits, .. } => {
            let (q, c) = (shape(0), shape(1));
            if !matches!(graph.node(inputs[1]).op, Op::CacheAppend { .. }) {
                return Err(
                    GraphError::new("attention takes what `cache.append` returns").with_hint("write `attention(q, cache.append(i, k, v))`")
                );
            }
            if q.rank() != 3 || q[2] != c[2] {
                return Err(GraphError::new(format!("attention takes queries (T, H, {}), not {q}", c[2])));
            }
            if !q[1].is_multiple_of(c[1]) {
                return Err(GraphError::new(format!("{} query heads are no multiple of {} key-value heads", q[1], c[1])));
            }
            if *null_logits && shape(inputs.len() - 1).dims() != [q[1]] {
                let message = format!("attention of {} heads takes as many null logits, not {}", q[1], shape(inputs.len() - 1));
                return Err(GraphError::new(message));
            }
            Ok((q.clone(), DType::F32))
        }
        Op::Sample { .. } => {
            if !matches!(shape(0).rank(), 1 | 2) || shape(0).is_empty() {
                return Err(GraphError::new(format!("sample takes logits (V,) or (S, V), not {}", shape(0))));
            }
            Ok((Shape::from([shape(0).rows()]), DType::I32))
        }
        Op::Input(_)
        | Op::Weight(_)
        | Op::Scalar(_)
        | Op::RopeRows { .. }
        | Op::RecordedIds(_)
        | Op::Iota
        | Op::Random(_)
        | Op::Reshape
        | Op::Broadcast
        | Op::Slice { .. }
        | Op::CacheAppend { .. } => Err(GraphError::new("this op's shape is given by its maker")),
    }
}

fn binary(op: BinaryOp, sa: &Shape, da: DType, sb: &Shape, db: DType) -> Inferred {
    let shape = broadcast(sa, sb)?;
    if matches!(op, BinaryOp::And | BinaryOp::Or) {
        return if da == DType::Bool && db == DType::Bool {
            Ok((shape, DType::Bool))
        } else {
            Err(GraphError::new(format!("`and` and `or` take bool, not {da} and {db}")))
        };
    }
    if da != db && !(da.is_float() && db.is_float()) {
        return Err(GraphError::new(format!("operands of one type are needed, not {da} and {db}")));
    }
    if op.is_comparison() {
        return Ok((shape, DType::Bool));
    }
    if da == DType::Bool {
        return Err(GraphError::new("arithmetic takes numbers, not bool").with_hint("write `cast(x, float32)`"));
    }
    Ok((shape, wider(da, db)))
}

fn wider(a: DType, b: DType) -> DType {
    if a == b { a } else { DType::F32 }
}

fn broadcast(a: &Shape, b: &Shape) -> Result<Shape, GraphError> {
    a.broadcast(b).map_err(|e| GraphError::new(e.to_string()))
}

fn check_axis(shape: &Shape, axis: usize) -> Result<(), GraphError> {
    if axis < shape.rank() { Ok(()) } else { Err(GraphError::new(format!("dimension {axis} is out of range for {shape}"))) }
}

fn int(dtype: DType, what: &str) -> Result<(), GraphError> {
    if dtype == DType::I32 { Ok(()) } else { Err(GraphError::new(format!("{what} are int32, not {dtype}"))) }
}

fn reduced(shape: &Shape, axis: usize, keep: bool) -> Result<Shape, GraphError> {
    check_axis(shape, axis)?;
    let mut dims = shape.dims().to_vec();
    if keep {
        dims[axis] = 1;
    } else {
        dims.remove(axis);
    }
    Ok(Shape::new(dims))
}

fn concat(shapes: &[&Shape], axis: usize) -> Result<Shape, GraphError> {
    let Some((first, rest)) = shapes.split_first() else {
        return Err(GraphError::new("concat takes one tensor or more"));
    };
    check_axis(first, axis)?;
    let mut dims = first.dims().to_vec();
    for shape in rest {
        let fits = shape.rank() == first.rank() && (0..first.rank()).all(|i| i == axis || shape[i] == first[i]);
        if !fits {
            return Err(GraphError::new(format!("cannot concatenate {first} and {shape} along {axis}")));
        }
        dims[axis] += shape[axis];
    }
    Ok(Shape::new(dims))
}

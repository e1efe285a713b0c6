//! Functions of networks that are ops of their own. What is made of these is written in `std/nn.tl`.

use std::sync::Arc;

use crate::graph::{BinaryOp, Graph, GraphError, NodeId, Op, RopeScaling, RopeSpec, RopeStyle, UnaryOp};
use crate::lang::host::ModelCache;
use crate::lang::interp::Interp;
use crate::lang::session::{Operand, Tensor};
use crate::lang::value::{Fault, Value};
use crate::tensor::DType;

use super::args::Args;
use super::{Builtin, Failure, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "linear",
        signature: "linear(x: tensor, w: tensor, bias: tensor = none) -> tensor",
        section: "nn",
        doc: "`x @ transpose(w) + bias`: `x` is `[..., K]`, `w` `[N, K]`, rows first, in any type of a model's file.",
        run: Run::Call(linear),
    },
    Builtin {
        name: "expert_linear",
        signature: "expert_linear(x: tensor, w: tensor, ids: int32 tensor) -> tensor",
        section: "nn",
        doc: "Each token's `x` `[T, K]` times the transposed matrices of the experts that it chose: `w` is `[E, N, K]`, in any type of a model's file, \
              `ids` `[T, C]`, the result `[T, C, N]`. `x` may be `[T, C, K]`, a row for each choice.",
        run: Run::Call(expert_linear),
    },
    Builtin {
        name: "embedding",
        signature: "embedding(ids: int32 tensor, table: tensor) -> tensor",
        section: "nn",
        doc: "The rows of `table` `[V, C]` at `ids`.",
        run: Run::Call(embedding),
    },
    Builtin {
        name: "rms_norm",
        signature: "rms_norm(x: tensor, weight: tensor, eps: float = 1e-5) -> tensor",
        section: "nn",
        doc: "`x / sqrt(mean(x²) + eps) * weight` over the last dimension (arXiv:1910.07467).",
        run: Run::Call(rms_norm),
    },
    Builtin {
        name: "softmax",
        signature: "softmax(x: tensor, dim: int = -1) -> tensor",
        section: "nn",
        doc: "`exp(x) / sum(exp(x))` along `dim`.",
        run: Run::Call(softmax),
    },
    Builtin {
        name: "einsum",
        signature: "einsum(spec: string, ...operands) -> tensor",
        section: "tensor",
        doc: "A sum of products by index letters: `einsum(\"ihd,jhd->ihj\", q, k)`. Letters the result lacks are summed.",
        run: Run::Call(einsum),
    },
    Builtin {
        name: "matmul",
        signature: "matmul(a: tensor, b: tensor) -> tensor",
        section: "tensor",
        doc: "`a @ b`.",
        run: Run::Call(|interp, args| {
            let (a, b) = (args.tensor(interp, 0)?, args.tensor(interp, 1)?);
            Ok(Value::Tensor(interp.session.build(&[&a, &b], |g, n| g.matmul(n[0], n[1]))?))
        }),
    },
    Builtin {
        name: "rope",
        signature: "rope(x: tensor, position: int = 0, rotation: Rotation = over the whole head) -> tensor",
        section: "nn",
        doc: "Rotates each head of `x` `[T, H, D]`: row t is at `position + t`.",
        run: Run::Call(rope),
    },
    Builtin {
        name: "attention",
        signature: "attention(q: tensor, k, v: tensor =, mask: bool tensor =, scale: float = 1 / sqrt(D), window: int = 0, cap: float = none, \
                    null_logits: tensor = none) -> tensor",
        section: "nn",
        doc: "`softmax(q kᵀ scale) v` by heads. `q` is `[T, H, D]`; what `cache.append(i, k, v)` returned stands for all keys and values so far, \
              causally masked, of which a query sees the last `window` (0: all). Or `k`, `v` are `[S, G, D]` with a mask `[T, S]` of what is seen. \
              With `cap` a score s is `cap * tanh(s / cap)`. `null_logits` `[H]` are one more score of each head in the sum of the softmax, \
              without a value.",
        run: Run::Call(attention),
    },
];

fn linear(interp: &mut Interp, args: Args) -> Outcome {
    let (x, w) = (args.tensor(interp, 0)?, args.tensor(interp, 1)?);
    let y = interp.session.build(&[&x, &w], |g, n| g.linear(n[0], n[1]))?;
    if !args.is_given(2) || matches!(args.value(2), Value::Unit) {
        return Ok(Value::Tensor(y));
    }
    let bias = args.operand(2)?;
    Ok(Value::Tensor(interp.session.binary(BinaryOp::Add, &Operand::Tensor(y), &bias)?))
}

fn expert_linear(interp: &mut Interp, args: Args) -> Outcome {
    let (x, w, ids) = (args.tensor(interp, 0)?, args.tensor(interp, 1)?, args.tensor(interp, 2)?);
    let ids = interp.positions(&ids).map_err(|f| args.fail(2, f))?;
    // A device gives 0 for an expert that there is not; ids that are known are checked.
    if let (Some(host), Some(&experts)) = (ids.known(), w.shape().first()) {
        let outside = host.as_i32().and_then(|v| v.iter().find(|&&i| i < 0 || i as usize >= experts).copied());
        if let Some(id) = outside {
            return Err(args.fail(2, Fault::new(format!("id {id} is outside the {experts} experts"))));
        }
    }
    Ok(Value::Tensor(interp.session.build(&[&x, &w, &ids], |g, n| g.expert_linear(n[0], n[1], n[2]))?))
}

fn embedding(interp: &mut Interp, args: Args) -> Outcome {
    let (ids, table) = (args.tensor(interp, 0)?, args.tensor(interp, 1)?);
    let ids = interp.positions(&ids).map_err(|f| args.fail(0, f))?;
    // A device gives 0 outside the table; ids that are known are checked.
    if let (Some(host), Some(&rows)) = (ids.known(), table.shape().first()) {
        let outside = host.as_i32().and_then(|v| v.iter().find(|&&i| i < 0 || i as usize >= rows).copied());
        if let Some(id) = outside {
            return Err(args.fail(0, Fault::new(format!("id {id} is outside the table of {rows} rows"))));
        }
    }
    Ok(Value::Tensor(interp.session.build(&[&ids, &table], |g, n| g.embedding(n[0], n[1]))?))
}

fn rms_norm(interp: &mut Interp, args: Args) -> Outcome {
    let (x, weight) = (args.tensor(interp, 0)?, args.tensor(interp, 1)?);
    let eps = args.float_or(interp, 2, 1e-5)?;
    Ok(Value::Tensor(interp.session.build(&[&x, &weight], |g, n| {
        let x = float(g, n[0])?;
        let eps = g.literal_f32(eps as f32);
        g.rms_norm(x, n[1], eps)
    })?))
}

fn softmax(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let axis = args.axis(interp, 1, x.shape().rank(), -1)?;
    Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.softmax(n[0], axis))?))
}

fn einsum(interp: &mut Interp, mut args: Args) -> Outcome {
    let spec = args.str(0)?;
    let mut operands = Vec::new();
    for (value, at) in args.take_rest() {
        match value {
            Value::Tensor(t) => operands.push(t),
            other => return Err(Failure::At(Fault::new(format!("an operand is a tensor, not {}", other.type_name())), at)),
        }
    }
    let inputs: Vec<&Tensor> = operands.iter().collect();
    Ok(Value::Tensor(interp.session.build(&inputs, |g, n| g.einsum(&spec, n))?))
}

fn rope(interp: &mut Interp, args: Args) -> Outcome {
    let x = args.tensor(interp, 0)?;
    let position = args.value(1);
    let (spec, style) = match args.value(2) {
        Value::Rotation(spec, style) => (spec, style),
        Value::Unit => {
            let spec = RopeSpec { n_dims: x.shape().last_dim(), base: 10000.0, scaling: RopeScaling::None, factors: Vec::new() };
            (Arc::new(super::rotation::checked(spec).map_err(|f| args.fail(0, f))?), RopeStyle::Interleaved)
        }
        other => {
            return Err(args
                .fail(2, Fault::new(format!("a Rotation is needed here, not {}", other.type_name())).hint("write `rotation(dims: 64)`")));
        }
    };
    if x.shape().rank() != 3 {
        return Err(args.fail(0, Fault::new(format!("rope takes x (T, H, D), not {}", x.shape())).hint("write `reshape(x, [T, H, D])`")));
    }
    let first = match &position {
        Value::Tensor(t) if t.shape().rank() == 0 && t.dtype() == DType::I32 => interp.session.node(t)?,
        Value::Unit => interp.session.graph_mut().literal_i32(0),
        other => {
            let position = interp.int(other).map_err(|f| args.fail(1, f))?;
            let position =
                i32::try_from(position).map_err(|_| args.fail(1, Fault::new(format!("position {position} does not fit int32"))))?;
            interp.session.graph_mut().literal_i32(position)
        }
    };
    let n = x.shape()[0];
    let spec = spec.for_len(sequence_len(interp, &position, n)).map_or(spec, Arc::new);
    let rows = interp.session.rope_rows(&spec, first, n);
    Ok(Value::Tensor(interp.session.build_unforced(&[&x], |g, nodes| {
        let x = float(g, nodes[0])?;
        g.rope(x, rows, style)
    })?))
}

/// How long a sequence may become whose last `n` tokens begin at `position`: all that a model's cache keeps in view, elsewhere these alone.
fn sequence_len(interp: &mut Interp, position: &Value, n: usize) -> usize {
    match (&interp.session.trace, position) {
        (Some(trace), _) => trace.window,
        (None, Value::Unit) => n,
        (None, position) => interp.int(position).map_or(n, |first| n.saturating_add(usize::try_from(first).unwrap_or(0))),
    }
}

fn attention(interp: &mut Interp, args: Args) -> Outcome {
    let q = args.tensor(interp, 0)?;
    let keys = args.tensor(interp, 1)?;
    let head_dim = q.shape().last_dim().max(1);
    let scale = args.float_or(interp, 4, 1.0 / (head_dim as f64).sqrt())?;
    let window = args.int_or(interp, 5, 0)?;
    let window =
        i32::try_from(window).ok().filter(|w| *w >= 0).ok_or_else(|| args.fail(5, Fault::new(format!("a window cannot be {window}"))))?;
    let extras = Extras::of(interp, &args)?;
    let is_cache = keys_are_cached(interp, &keys);
    if args.is_given(2) || !is_cache {
        if !args.is_given(2) {
            let fault = Fault::new("`attention` of plain keys needs their values too");
            return Err(args.fail(1, fault.hint("write `attention(q, k, v)`, or `attention(q, cache.append(i, k, v))`")));
        }
        if is_cache {
            let fault = Fault::new("what `cache.append` gives holds the values too");
            return Err(args.fail(2, fault.hint("write `attention(q, cache.append(i, k, v))`")));
        }
        if args.is_given(5) {
            let fault = Fault::new("a window belongs to a cache: plain keys have no order of their own");
            return Err(args.fail(5, fault.hint("write what is seen into `mask:`, a bool tensor [T, S]")));
        }
        let values = args.tensor(interp, 2)?;
        let mask = if args.is_given(3) { Some(args.tensor(interp, 3)?) } else { None };
        return plain_attention(interp, [&q, &keys, &values], mask.as_ref(), scale, &extras);
    }
    if args.is_given(3) {
        let fault = Fault::new("a cache is masked causally by itself, and takes no mask");
        return Err(args.fail(3, fault.hint("write `attention(q, k, v, mask: m)` of plain keys and values, or `window: n`")));
    }
    let inputs: Vec<&Tensor> = [&q, &keys].into_iter().chain(&extras.null_logits).collect();
    Ok(Value::Tensor(interp.session.build(&inputs, |g, n| {
        let scale = g.literal_f32(scale as f32);
        let window = g.literal_i32(window);
        let cap = extras.cap.map(|cap| g.literal_f32(cap));
        g.attention_with(n[0], n[1], scale, window, cap, n.get(2).copied())
    })?))
}

/// What some models do to the scores.
struct Extras {
    cap: Option<f32>,
    null_logits: Option<Tensor>,
}

impl Extras {
    fn of(interp: &mut Interp, args: &Args) -> Result<Extras, Failure> {
        let is_given = |i: usize| args.is_given(i) && !matches!(args.value(i), Value::Unit);
        let cap = if is_given(6) { Some(args.float_or(interp, 6, 0.0)? as f32) } else { None };
        if let Some(cap) = cap.filter(|cap| !(cap.is_finite() && *cap > 0.0)) {
            return Err(args.fail(6, Fault::new(format!("a cap of scores is above 0, not {cap}"))));
        }
        let null_logits = if is_given(7) { Some(args.tensor(interp, 7)?) } else { None };
        Ok(Extras { cap, null_logits })
    }
}

/// Whether these keys are what an append to a cache gave.
fn keys_are_cached(interp: &Interp, keys: &Tensor) -> bool {
    interp.session.op_of(keys).is_some_and(|op| matches!(op, Op::CacheAppend { .. }))
}

/// `q [T, H, D]`, `k` and `v` `[S, G, D]`, `mask [T, S]`: each query head h reads head `h / (H / G)`.
fn plain_attention(interp: &mut Interp, [q, k, v]: [&Tensor; 3], mask: Option<&Tensor>, scale: f64, extras: &Extras) -> Outcome {
    let (sq, sk) = (q.shape().clone(), k.shape().clone());
    if sq.rank() != 3 || sk.rank() != 3 || v.shape() != &sk || sq[2] != sk[2] {
        return Err(Fault::new(format!("attention takes q (T, H, D), k and v (S, G, D), not {sq}, {sk} and {}", v.shape())).into());
    }
    let (heads, groups) = (sq[1], sk[1]);
    if groups == 0 || !heads.is_multiple_of(groups) {
        return Err(Fault::new(format!("{heads} query heads are no multiple of {groups} key-value heads")).into());
    }
    let per_group = heads / groups;
    let (t, s, d) = (sq[0], sk[0], sq[2]);
    if let Some(mask) = mask
        && (mask.dtype() != DType::Bool || mask.shape().broadcast(&[t, s].into()).ok() != Some([t, s].into()))
    {
        return Err(Fault::new(format!("the mask is bool (T, S) = ({t}, {s}), not {}", crate::lang::value::TensorType(mask))).into());
    }
    if let Some(logits) = extras.null_logits.as_ref().filter(|logits| logits.shape().dims() != [heads]) {
        return Err(Fault::new(format!("attention of {heads} heads takes as many null logits, not {}", logits.shape())).into());
    }
    let mut inputs = vec![q, k, v];
    inputs.extend(mask);
    inputs.extend(&extras.null_logits);
    Ok(Value::Tensor(interp.session.build(&inputs, |g, n| {
        let q = g.reshape(n[0], [t, groups, per_group, d])?;
        let scores = g.einsum("tgpd,sgd->tgps", &[q, n[1]])?;
        let scale = g.literal_f32(scale as f32);
        let mut scores = g.binary(BinaryOp::Mul, scores, scale)?;
        if let Some(cap) = extras.cap {
            let cap = g.literal_f32(cap);
            let share = g.binary(BinaryOp::Div, scores, cap)?;
            let bent = g.unary(UnaryOp::Tanh, share)?;
            scores = g.binary(BinaryOp::Mul, bent, cap)?;
        }
        if let Some(&mask) = mask.and(n.get(3)) {
            let mask = g.broadcast_to(mask, [t, s])?;
            let mask = g.reshape(mask, [t, 1, 1, s])?;
            // Large and finite: a device's fast arithmetic gives no infinities to rely on.
            let low = g.literal_f32(-1e30);
            scores = g.select(mask, scores, low)?;
        }
        if let Some(&logits) = extras.null_logits.as_ref().and(n.last()) {
            let logits = g.reshape(logits, [1, groups, per_group, 1])?;
            let logits = g.broadcast_to(logits, [t, groups, per_group, 1])?;
            scores = g.concat(&[scores, logits], 3)?;
        }
        let mut weights = g.softmax(scores, 3)?;
        if extras.null_logits.is_some() {
            weights = g.slice(weights, &[(0, 1, t), (0, 1, groups), (0, 1, per_group), (0, 1, s)])?;
        }
        let out = g.einsum("tgps,sgd->tgpd", &[weights, n[2]])?;
        g.reshape(out, [t, heads, d])
    })?))
}

impl Interp {
    /// `cache.position`: symbolic while a model is traced.
    pub(in crate::lang) fn cache_position(&mut self, cache: &ModelCache) -> Result<Value, Fault> {
        match cache {
            ModelCache::Traced => {
                let scalar = crate::graph::RuntimeScalar::Position(crate::graph::CacheIdx(0));
                self.session.runtime_scalar(scalar).map(Value::Tensor)
            }
            ModelCache::Engine(cache) => Ok(Value::Int(cache.position().map_err(Fault::new)? as i64)),
        }
    }
}

/// Ints as floats; floats of any type as they are.
fn float(g: &mut Graph, x: NodeId) -> Result<NodeId, GraphError> {
    if g.dtype(x).is_float() { Ok(x) } else { g.cast(x, DType::F32) }
}

//! Making nodes: each constructor infers the shape, or says why the operands do not fit.

use std::sync::Arc;

use crate::tensor::{DType, Shape};

use super::einsum::EinsumSpec;
use super::infer::infer;
use super::node::{Graph, InputId, Node, NodeId};
use super::op::{BinaryOp, Op, RandomKind, ReduceOp, RopeRowsKind, UnaryOp};
use super::rope::{RopeSpec, RopeStyle};
use super::scalar::{CacheIdx, Literal, RuntimeScalar, ScalarSource};
use super::weight::Weight;

/// Operands that do not fit an op. The message is lower case and shows both values; the language adds the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GraphError {
    pub message: String,
    pub hint: Option<String>,
}

impl GraphError {
    pub fn new(message: impl Into<String>) -> Self {
        GraphError { message: message.into(), hint: None }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

type Built = Result<NodeId, GraphError>;

impl Graph {
    fn push(&mut self, op: Op, inputs: Vec<NodeId>, shape: Shape, dtype: DType) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node { op, inputs, shape, dtype, origin: self.origin, label: None });
        id
    }

    /// Adds a node whose shape and dtype follow from its inputs.
    ///
    /// # Errors
    /// When the inputs do not fit the op.
    pub fn add(&mut self, op: Op, inputs: &[NodeId]) -> Built {
        let (shape, dtype) = infer(self, &op, inputs)?;
        Ok(self.push(op, inputs.to_vec(), shape, dtype))
    }

    /// A tensor bound at each run.
    pub fn input(&mut self, shape: impl Into<Shape>, dtype: DType) -> NodeId {
        let id = InputId(self.n_inputs);
        self.n_inputs += 1;
        self.push(Op::Input(id), Vec::new(), shape.into(), dtype)
    }

    /// The token ids of a step: an i32 input `[bucket]` of which only `TokenCount` are true at a run.
    pub fn tokens_input(&mut self, bucket: usize) -> NodeId {
        let id = self.input([bucket], DType::I32);
        self.tokens = Some(id);
        id
    }

    /// The token ids of a step, read from the histories of the run's sequences: a bucket as that of `tokens_input`.
    pub fn recorded_tokens(&mut self, bucket: usize, cache: CacheIdx) -> NodeId {
        let id = self.push(Op::RecordedIds(cache), Vec::new(), Shape::from([bucket]), DType::I32);
        self.tokens = Some(id);
        id
    }

    /// A weight in its file's type.
    pub fn weight(&mut self, weight: Arc<Weight>) -> NodeId {
        let (shape, dtype) = (weight.shape.clone(), weight.dtype);
        self.push(Op::Weight(weight), Vec::new(), shape, dtype)
    }

    /// A literal: a run-time scalar with a value of its own.
    pub fn literal(&mut self, value: Literal) -> NodeId {
        let dtype = match value {
            Literal::F32(_) => DType::F32,
            Literal::I32(_) => DType::I32,
        };
        self.literals.push(value);
        let index = (self.literals.len() - 1) as u32;
        self.push(Op::Scalar(ScalarSource::Literal { index, dtype }), Vec::new(), Shape::scalar(), dtype)
    }

    pub fn literal_f32(&mut self, value: f32) -> NodeId {
        self.literal(Literal::F32(value))
    }

    pub fn literal_i32(&mut self, value: i32) -> NodeId {
        self.literal(Literal::I32(value))
    }

    pub fn runtime_scalar(&mut self, scalar: RuntimeScalar) -> NodeId {
        self.push(Op::Scalar(ScalarSource::Runtime(scalar)), Vec::new(), Shape::scalar(), scalar.dtype())
    }

    /// `0, 1, … n - 1` as i32.
    pub fn iota(&mut self, n: usize) -> NodeId {
        self.push(Op::Iota, Vec::new(), Shape::from([n]), DType::I32)
    }

    pub fn random(&mut self, kind: RandomKind, shape: impl Into<Shape>, seed: NodeId) -> NodeId {
        self.push(Op::Random(kind), vec![seed], shape.into(), DType::F32)
    }

    /// Rows of (cos, sin) for `n` positions from `first` (an i32 scalar) on.
    pub fn rope_rows(&mut self, spec: Arc<RopeSpec>, kind: RopeRowsKind, first: NodeId, n: usize) -> NodeId {
        let shape = Shape::from([n, spec.n_dims / 2, 2]);
        self.push(Op::RopeRows { spec, kind }, vec![first], shape, DType::F32)
    }

    /// # Errors
    /// When the operand's type does not fit.
    pub fn unary(&mut self, op: UnaryOp, x: NodeId) -> Built {
        let x = match op {
            UnaryOp::Not | UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign => x,
            _ => self.float_of(x)?,
        };
        self.add(Op::Unary(op), &[x])
    }

    /// Broadcasts by NumPy's rule. Of an int and a float the int is cast.
    ///
    /// # Errors
    /// When shapes do not broadcast or types do not fit.
    pub fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId) -> Built {
        let (a, b) = self.promote(a, b)?;
        self.add(Op::Binary(op), &[a, b])
    }

    /// `condition ? a : b`, elementwise with broadcasting.
    ///
    /// # Errors
    /// When shapes do not broadcast.
    pub fn select(&mut self, condition: NodeId, a: NodeId, b: NodeId) -> Built {
        let (a, b) = self.promote(a, b)?;
        self.add(Op::Where, &[condition, a, b])
    }

    fn promote(&mut self, a: NodeId, b: NodeId) -> Result<(NodeId, NodeId), GraphError> {
        let (da, db) = (self.dtype(a), self.dtype(b));
        Ok(match (da.is_float(), db.is_float()) {
            (true, false) => (a, self.cast(b, DType::F32)?),
            (false, true) => (self.cast(a, DType::F32)?, b),
            (false, false) if da != db => (self.cast(a, DType::I32)?, self.cast(b, DType::I32)?),
            _ => (a, b),
        })
    }

    fn float_of(&mut self, x: NodeId) -> Built {
        if self.dtype(x).is_float() { Ok(x) } else { self.cast(x, DType::F32) }
    }

    /// # Errors
    /// When the target is a block format.
    pub fn cast(&mut self, x: NodeId, dtype: DType) -> Built {
        if self.dtype(x) == dtype { Ok(x) } else { self.add(Op::Cast(dtype), &[x]) }
    }

    /// # Errors
    /// When the element counts differ.
    pub fn reshape(&mut self, x: NodeId, shape: impl Into<Shape>) -> Built {
        let shape = shape.into();
        let from = self.shape(x);
        if from.len() != shape.len() {
            return Err(GraphError::new(format!("cannot reshape {from} into {shape}: {} and {} elements", from.len(), shape.len())));
        }
        if *from == shape {
            return Ok(x);
        }
        let dtype = self.value_dtype(x);
        Ok(self.push(Op::Reshape, vec![x], shape, dtype))
    }

    /// Output dimension `i` is input dimension `axes[i]`.
    ///
    /// # Errors
    /// When `axes` is no permutation.
    pub fn permute(&mut self, x: NodeId, axes: &[usize]) -> Built {
        if axes.iter().enumerate().all(|(i, &a)| i == a) && axes.len() == self.shape(x).rank() {
            return Ok(x);
        }
        self.add(Op::Permute(axes.to_vec()), &[x])
    }

    /// # Errors
    /// When the shape does not broadcast to `shape`.
    pub fn broadcast_to(&mut self, x: NodeId, shape: impl Into<Shape>) -> Built {
        let shape = shape.into();
        let from = self.shape(x).clone();
        if from.broadcast(&shape).ok().as_ref() != Some(&shape) {
            return Err(GraphError::new(format!("{from} does not broadcast to {shape}")));
        }
        if from == shape {
            return Ok(x);
        }
        let dtype = self.value_dtype(x);
        Ok(self.push(Op::Broadcast, vec![x], shape, dtype))
    }

    /// Per dimension `(start, step, size)`.
    ///
    /// # Errors
    /// When a dimension's range leaves the tensor.
    pub fn slice(&mut self, x: NodeId, ranges: &[(usize, isize, usize)]) -> Built {
        let from = self.shape(x).clone();
        if ranges.len() != from.rank() {
            return Err(GraphError::new(format!("a slice of {from} takes {} ranges, not {}", from.rank(), ranges.len())));
        }
        for (&(start, step, size), &dim) in ranges.iter().zip(from.dims()) {
            let last = start as isize + step * (size as isize - 1);
            if size > 0 && (start >= dim || last < 0 || last >= dim as isize) {
                return Err(GraphError::new(format!("slice {start}, step {step}, {size} elements leaves a dimension of {dim} in {from}")));
            }
        }
        let shape = Shape::new(ranges.iter().map(|r| r.2).collect::<Vec<_>>());
        if shape == from && ranges.iter().all(|r| r.1 == 1) {
            return Ok(x);
        }
        let dtype = self.value_dtype(x);
        let op = Op::Slice { starts: ranges.iter().map(|r| r.0).collect(), steps: ranges.iter().map(|r| r.1).collect() };
        Ok(self.push(op, vec![x], shape, dtype))
    }

    /// # Errors
    /// When other dimensions or types differ.
    pub fn concat(&mut self, parts: &[NodeId], axis: usize) -> Built {
        self.add(Op::Concat { axis }, parts)
    }

    /// # Errors
    /// When the axis is out of range.
    pub fn reduce(&mut self, op: ReduceOp, x: NodeId, axis: usize, keep: bool) -> Built {
        let x = if op == ReduceOp::Mean || self.dtype(x) == DType::Bool { self.float_of(x)? } else { x };
        self.add(Op::Reduce { op, axis, keep }, &[x])
    }

    /// `a @ b` over the last two dimensions with broadcast batch dimensions; a vector is a row on the left, a column on the right.
    /// `x @ transpose(w)` with a weight becomes `Linear`.
    ///
    /// # Errors
    /// When the inner sizes differ.
    pub fn matmul(&mut self, a: NodeId, b: NodeId) -> Built {
        if let Op::Permute(axes) = &self.node(b).op {
            let w = self.node(b).inputs[0];
            if axes == &[1, 0] && matches!(self.node(w).op, Op::Weight(_)) && self.shape(a).rank() >= 1 {
                if self.shape(a).last_dim() != self.shape(w).last_dim() {
                    return Err(inner_sizes_differ(self.shape(a), self.shape(b)));
                }
                return self.linear(a, w);
            }
        }
        let (sa, sb) = (self.shape(a).clone(), self.shape(b).clone());
        if sa.rank() == 0 || sb.rank() == 0 {
            return Err(GraphError::new(format!("cannot multiply {sa} by {sb}: a scalar has no rows")).with_hint("write `*`"));
        }
        let inner_b = if sb.rank() == 1 { sb[0] } else { sb[sb.rank() - 2] };
        if sa.last_dim() != inner_b {
            let err = inner_sizes_differ(&sa, &sb);
            return Err(if sb.rank() >= 2 && sb.last_dim() == sa.last_dim() { err.with_hint("write `a @ transpose(b)`") } else { err });
        }
        let batch_a = sa.rank().saturating_sub(2);
        let batch_b = sb.rank().saturating_sub(2);
        let batch = Shape::from(&sa[..batch_a]).broadcast(&Shape::from(&sb[..batch_b])).map_err(|e| GraphError::new(e.to_string()))?;
        let letter = |i: usize| char::from_u32('A' as u32 + i as u32).unwrap_or('Z');
        let batch_letters: Vec<char> = (0..batch.rank()).map(letter).collect();
        // Broadcast batch dimensions of size 1 are dropped from their operand, so that the einsum reads them once.
        let side = |graph: &mut Graph, x: NodeId, n_batch: usize, tail: &[char]| -> Result<(NodeId, Vec<char>), GraphError> {
            let shape = graph.shape(x).clone();
            let own = &batch_letters[batch.rank() - n_batch..];
            let kept: Vec<usize> = (0..n_batch).filter(|&i| shape[i] == batch[batch.rank() - n_batch + i]).collect();
            let mut letters: Vec<char> = kept.iter().map(|&i| own[i]).collect();
            letters.extend(tail);
            let mut dims: Vec<usize> = kept.iter().map(|&i| shape[i]).collect();
            dims.extend(&shape[n_batch..]);
            Ok((graph.reshape(x, dims)?, letters))
        };
        let tail_a: &[char] = if sa.rank() == 1 { &['k'] } else { &['m', 'k'] };
        let tail_b: &[char] = if sb.rank() == 1 { &['k'] } else { &['k', 'n'] };
        let (a, la) = side(self, a, batch_a, tail_a)?;
        let (b, lb) = side(self, b, batch_b, tail_b)?;
        let mut output = batch_letters.clone();
        output.extend(if sa.rank() == 1 { &[][..] } else { &['m'][..] });
        output.extend(if sb.rank() == 1 { &[][..] } else { &['n'][..] });
        let (a, b) = (self.float_of(a)?, self.float_of(b)?);
        self.add(Op::Einsum(EinsumSpec { operands: vec![la, lb], output }), &[a, b])
    }

    /// Any specification; more than two operands are contracted from the left.
    ///
    /// # Errors
    /// When the specification or the shapes do not fit.
    pub fn einsum(&mut self, text: &str, operands: &[NodeId]) -> Built {
        let spec = EinsumSpec::parse(text).map_err(GraphError::new)?;
        spec.infer(&operands.iter().map(|&x| self.shape(x)).collect::<Vec<_>>()).map_err(GraphError::new)?;
        let mut operands: Vec<NodeId> = operands.iter().map(|&x| self.float_of(x)).collect::<Result<_, _>>()?;
        let mut letters = spec.operands;
        while operands.len() > 2 {
            // Letters that nothing further needs are summed now.
            let later: Vec<char> = letters[2..].iter().flatten().chain(&spec.output).copied().collect();
            let mut kept: Vec<char> = Vec::new();
            for &c in letters[0].iter().chain(&letters[1]) {
                if later.contains(&c) && !kept.contains(&c) {
                    kept.push(c);
                }
            }
            let pair = EinsumSpec { operands: vec![letters[0].clone(), letters[1].clone()], output: kept.clone() };
            let x = self.add(Op::Einsum(pair), &[operands[0], operands[1]])?;
            operands.splice(0..2, [x]);
            letters.splice(0..2, [kept]);
        }
        self.add(Op::Einsum(EinsumSpec { operands: letters, output: spec.output }), &operands)
    }

    /// `x · wᵀ`: `x [..., K]`, `w [N, K]`.
    ///
    /// # Errors
    /// When the inner sizes differ.
    pub fn linear(&mut self, x: NodeId, w: NodeId) -> Built {
        let x = self.float_of(x)?;
        self.add(Op::Linear, &[x, w])
    }

    /// The products of each token with the matrices of the experts `ids [T, C]` that it chose: `x [T, K]`, or `[T, C, K]` with a row for each choice;
    /// `w [E, N, K]`; `[T, C, N]`. A `w` that was computed is gathered whole for each choice, so it should be small.
    ///
    /// # Errors
    /// When the sizes do not fit, or `ids` are no ints.
    pub fn expert_linear(&mut self, x: NodeId, w: NodeId, ids: NodeId) -> Built {
        let x = self.float_of(x)?;
        let product = self.add(Op::ExpertLinear, &[x, w, ids])?;
        if matches!(self.node(w).op, Op::Weight(_)) {
            return Ok(product);
        }
        let (w, each) = (self.float_of(w)?, self.shape(x).rank() == 3);
        let chosen = self.add(Op::Gather { axis: 0 }, &[w, ids])?;
        self.einsum(if each { "tck,tcnk->tcn" } else { "tk,tcnk->tcn" }, &[x, chosen])
    }

    /// # Errors
    /// When `ids` are no ints or `table` is no matrix.
    pub fn embedding(&mut self, ids: NodeId, table: NodeId) -> Built {
        self.add(Op::Embedding, &[ids, table])
    }

    /// # Errors
    /// When the weight's size is not the width.
    pub fn rms_norm(&mut self, x: NodeId, weight: NodeId, eps: NodeId) -> Built {
        self.add(Op::RmsNorm, &[x, weight, eps])
    }

    /// # Errors
    /// When the axis is out of range.
    pub fn softmax(&mut self, x: NodeId, axis: usize) -> Built {
        let x = self.float_of(x)?;
        self.add(Op::Softmax { axis }, &[x])
    }

    /// Rotates `x [T, H, D]` by `rows [T, n_dims / 2, 2]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn rope(&mut self, x: NodeId, rows: NodeId, style: RopeStyle) -> Built {
        let n_dims = self.shape(rows).dims().get(1).map_or(0, |n| n * 2);
        self.add(Op::Rope { style, n_dims }, &[x, rows])
    }

    /// `k` and `v` are `[T, G, D]`; `n_positions` is that of the cache.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn cache_append(&mut self, cache: CacheIdx, layer: usize, n_positions: usize, k: NodeId, v: NodeId) -> Built {
        let (sk, sv) = (self.shape(k).clone(), self.shape(v));
        if sk.rank() != 3 || *sv != sk {
            return Err(GraphError::new(format!("a cache takes keys and values of one shape (T, G, D), not {sk} and {sv}")));
        }
        Ok(self.push(Op::CacheAppend { cache, layer }, vec![k, v], Shape::from([n_positions, sk[1], sk[2]]), DType::F32))
    }

    /// Causal attention over a cache. `q` is `[T, H, D]`, `window` an i32 scalar with 0 for none. Where the query was rotated by
    /// `Rope`, it is rotated again for sinks (`Op::Attention`).
    ///
    /// # Errors
    /// When heads or head sizes do not fit.
    pub fn attention(&mut self, q: NodeId, appended: NodeId, scale: NodeId, window: NodeId) -> Built {
        self.attention_with(q, appended, scale, window, None, None)
    }

    /// As [`Graph::attention`], with an f32 scalar that caps the scores, and logits `[H]` that join the sums of the softmax (`Op::Attention`).
    ///
    /// # Errors
    /// When heads or head sizes do not fit.
    pub fn attention_with(
        &mut self,
        q: NodeId,
        appended: NodeId,
        scale: NodeId,
        window: NodeId,
        cap: Option<NodeId>,
        null_logits: Option<NodeId>,
    ) -> Built {
        let mut inputs = vec![q, appended, scale, window];
        let mut sink = None;
        if let (Some(rope), Op::CacheAppend { cache, .. }) = (self.find_rope(q), &self.node(appended).op) {
            let cache = *cache;
            let (Op::Rope { style, n_dims }, rows) = (&self.node(rope).op, self.node(rope).inputs[1]) else {
                unreachable!("found as rope")
            };
            sink = Some((*style, *n_dims));
            if let Op::RopeRows { spec, kind: RopeRowsKind::Position } = &self.node(rows).op {
                let (spec, first, n) = (spec.clone(), self.node(rows).inputs[0], self.shape(rows)[0]);
                inputs.push(self.rope_rows(spec, RopeRowsKind::SinkDelta(cache), first, n));
            } else {
                sink = None;
            }
        }
        let null_logits = null_logits.map(|logits| self.float_of(logits)).transpose()?;
        inputs.extend(cap.into_iter().chain(null_logits));
        self.add(Op::Attention { sink, capped: cap.is_some(), null_logits: null_logits.is_some() }, &inputs)
    }

    /// The rotation that `x` came from, through ops that keep a head's elements in place.
    fn find_rope(&self, mut x: NodeId) -> Option<NodeId> {
        loop {
            let node = self.node(x);
            match node.op {
                Op::Rope { .. } => return Some(x),
                Op::Reshape | Op::Cast(_) | Op::Binary(BinaryOp::Mul | BinaryOp::Div) => x = node.inputs[0],
                _ => return None,
            }
        }
    }

    /// Chooses an id from `logits [V]`, or one from each row `[S, V]`, with the run's sampling scalars. `position` is the position the id will have.
    ///
    /// # Errors
    /// When the logits are neither vector nor matrix.
    pub fn sample(&mut self, logits: NodeId, settings: [NodeId; 7], position: NodeId, history: Option<CacheIdx>) -> Built {
        let mut inputs = vec![logits];
        inputs.extend(settings);
        inputs.push(position);
        self.add(Op::Sample { history }, &inputs)
    }

    /// The seven sampling scalars of a run, in the order `Op::Sample` takes them.
    pub fn run_sampling(&mut self) -> [NodeId; 7] {
        use RuntimeScalar::*;
        [Temperature, TopK, TopP, MinP, RepeatPenalty, RepeatLastN, Seed].map(|s| self.runtime_scalar(s))
    }

    /// What a use of `x` as plain values has: a weight in any float type is read as f32.
    fn value_dtype(&self, x: NodeId) -> DType {
        match self.dtype(x) {
            DType::Quant(_) => DType::F32,
            other => other,
        }
    }
}

pub(super) fn inner_sizes_differ(a: &Shape, b: &Shape) -> GraphError {
    let inner_b = if b.rank() == 1 { b[0] } else { b[b.rank() - 2] };
    GraphError::new(format!("cannot multiply {a} by {b}: inner sizes {} and {inner_b} differ", a.last_dim()))
}

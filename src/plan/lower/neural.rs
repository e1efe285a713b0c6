//! The ops of a transformer.

use crate::graph::{BinaryOp, CacheIdx, Literal, Node, NodeId, Op, RopeStyle};
use crate::plan::{
    Attention, Buf, CacheStore, EinsumKernel, Elementwise, Embedding, Epilogue, ExpertLinear, Expr, ExprOp, Gather, Kernel, Linear, Norm,
    PlanError, Rope, RopeRowsSpec, RopeTable, Rows, Sample, ScalarRef, View,
};
use crate::tensor::DType;

use super::{Lowered, Lowering, weight_of};

impl Lowering<'_> {
    pub(super) fn neural(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        match &node.op {
            Op::RopeRows { .. } => self.rope_rows(id, node),
            Op::Linear => Ok(self.linear(id, node)),
            Op::ExpertLinear => self.expert_linear(id, node),
            Op::Embedding => Ok(self.embedding(id, node)),
            Op::RmsNorm => self.rms_norm(id, node),
            Op::Rope { style, n_dims } => Ok(self.rope(id, node, *style, *n_dims)),
            Op::CacheAppend { cache, layer } => self.cache_append(id, node, *cache, *layer),
            Op::Attention { .. } => self.attention(id, node),
            Op::RecordedIds(cache) => Ok(self.recorded_ids(id, *cache)),
            _ => self.sample(id, node),
        }
    }

    /// Rows of equal angles are made once a run, whichever layers ask for them.
    fn rope_rows(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        let Op::RopeRows { spec, kind } = &node.op else { return Err(self.unsupported(node, "no rope rows")) };
        let first = self.host_scalar(node, 0, "the first position of a rotation")?;
        let rows = Rows { count: node.shape[0], dynamic: self.is_dynamic(id) };
        let wanted = RopeRowsSpec { spec: spec.clone(), kind: *kind, first, rows };
        let known = &mut self.draft.rope_rows;
        let at = known.iter().position(|r| *r == wanted).unwrap_or_else(|| {
            known.push(wanted);
            known.len() - 1
        });
        Ok(Lowered::Tensor(View::contiguous(Buf::RopeRows(at as u32), &node.shape)))
    }

    fn linear(&mut self, id: NodeId, node: &Node) -> Lowered {
        let (x_id, w_id) = (node.inputs[0], node.inputs[1]);
        let (rows, k, n) = (self.rows(id), self.shape(x_id).last_dim(), node.shape.last_dim());
        let Some(weight) = weight_of(self.graph, w_id) else { return self.contraction(id, node, rows.count, k, n) };
        let x = self.buf(x_id);
        let (weight, first_row) = self.draft.placements.native(&weight);
        let (out, lowered) = self.written(id);
        let epilogue = Epilogue::Store { bias: None, residual: None, out };
        self.draft.push(Kernel::Linear(Linear { x, norm: None, weight, first_row, n, k, rows, epilogue }), vec![id]);
        lowered
    }

    /// A linear whose matrix is no weight of a file: `out[t, n] = Σ_k x[t, k] · w[n, k]`.
    fn contraction(&mut self, id: NodeId, node: &Node, rows: usize, k: usize, n: usize) -> Lowered {
        let x = self.buf(node.inputs[0]);
        let w = self.view(node.inputs[1]);
        let a = View { buf: x, offset: 0, strides: vec![k as isize, 0, 1] };
        let b = View { strides: vec![0, w.strides[0], w.strides[1]], ..w };
        let (out, lowered) = self.written(id);
        let kernel = EinsumKernel { a, b: Some(b), out, out_dims: vec![rows, n], sum_dims: vec![k] };
        self.draft.push(Kernel::Einsum(kernel), vec![id]);
        lowered
    }

    fn expert_linear(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        let &[x_id, w_id, ids_id] = node.inputs.as_slice() else { return Err(self.unsupported(node, "an expert's product")) };
        // Others are gathered where the graph is built.
        let Some(weight) = weight_of(self.graph, w_id) else {
            return Err(self.unsupported(node, "experts whose matrices are no weights of a file"));
        };
        let (experts, choices) = (self.shape(w_id).clone(), self.shape(ids_id).clone());
        let rows = Rows { count: choices[0], dynamic: self.is_dynamic(id) };
        let (x, ids, each) = (self.buf(x_id), self.buf(ids_id), self.shape(x_id).rank() == 3);
        let (weight, first_row) = self.draft.placements.native(&weight);
        let (out, lowered) = self.written(id);
        let (n_experts, n, k, n_chosen) = (experts[0], experts[1], experts[2], choices[1]);
        let kernel = ExpertLinear { x, each, ids, weight, first_row, n_experts, n, k, rows, n_chosen, out };
        self.draft.push(Kernel::ExpertLinear(kernel), vec![id]);
        Ok(lowered)
    }

    fn embedding(&mut self, id: NodeId, node: &Node) -> Lowered {
        let (ids_id, table_id) = (node.inputs[0], node.inputs[1]);
        let (vocab, width) = (self.shape(table_id)[0], self.shape(table_id)[1]);
        let rows = Rows { count: self.shape(ids_id).len(), dynamic: self.is_dynamic(id) && node.shape.rank() == 2 };
        match weight_of(self.graph, table_id) {
            Some(weight) => {
                let ids = self.buf(ids_id);
                let (table, first_row) = self.draft.placements.native(&weight);
                debug_assert_eq!(first_row, 0, "a table stands alone in its placement");
                let (out, lowered) = self.written(id);
                self.draft.push(Kernel::Embedding(Embedding { ids, table, out, rows, width }), vec![id]);
                lowered
            }
            None => {
                let indices = self.known_ids(ids_id, vocab, id);
                let x = self.buf(table_id);
                let (out, lowered) = self.written(id);
                let gather = Gather { x, indices, out, outer: 1, len: vocab, inner: width, count: rows.count, dtype: DType::F32 };
                self.draft.push(Kernel::Gather(gather), vec![id]);
                lowered
            }
        }
    }

    /// Ids with 0 for those that a table of `vocab` rows lacks.
    fn known_ids(&mut self, ids: NodeId, vocab: usize, id: NodeId) -> Buf {
        let (zero, end) = (self.draft.constant(Literal::I32(0)), self.draft.constant(Literal::I32(vocab as i32)));
        let dtype = DType::I32;
        let ops = vec![
            ExprOp::Input(0),
            ExprOp::Scalar(0),
            ExprOp::Scalar(1),
            ExprOp::Binary { op: BinaryOp::Ge, a: 0, b: 1, dtype },
            ExprOp::Binary { op: BinaryOp::Lt, a: 0, b: 2, dtype },
            ExprOp::Binary { op: BinaryOp::And, a: 3, b: 4, dtype: DType::Bool },
            ExprOp::Where { condition: 5, a: 0, b: 1 },
        ];
        self.index_map(ids, ops, vec![zero, end], id)
    }

    /// An index of one element moved into `0..n`.
    pub(super) fn clamped_index(&mut self, index: NodeId, n: usize, id: NodeId) -> Buf {
        let (zero, last) = (self.draft.constant(Literal::I32(0)), self.draft.constant(Literal::I32(n as i32 - 1)));
        let dtype = DType::I32;
        let ops = vec![
            ExprOp::Input(0),
            ExprOp::Scalar(0),
            ExprOp::Scalar(1),
            ExprOp::Binary { op: BinaryOp::Max, a: 0, b: 1, dtype },
            ExprOp::Binary { op: BinaryOp::Min, a: 3, b: 2, dtype },
        ];
        self.index_map(index, ops, vec![zero, last], id)
    }

    fn index_map(&mut self, indices: NodeId, ops: Vec<ExprOp>, scalars: Vec<ScalarRef>, id: NodeId) -> Buf {
        let shape = self.shape(indices);
        let inputs = vec![(self.view(indices), DType::I32)];
        let out = self.draft.value(shape.len());
        let (dims, dynamic) = (shape.dims().to_vec(), self.is_dynamic(indices));
        let kernel = Elementwise { expr: Expr { ops }, inputs, scalars, out, dtype: DType::I32, dims, dynamic };
        self.draft.push(Kernel::Elementwise(kernel), vec![id]);
        out
    }

    fn rms_norm(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        let eps = self.host_scalar(node, 2, "the eps of a norm")?;
        let (x, weight) = (self.buf(node.inputs[0]), self.buf(node.inputs[1]));
        let (rows, width) = (self.rows(id), node.shape.last_dim());
        let (out, lowered) = self.written(id);
        self.draft.push(Kernel::Norm(Norm { x, weight, eps, out, rows, width }), vec![id]);
        Ok(lowered)
    }

    fn rope(&mut self, id: NodeId, node: &Node, style: RopeStyle, n_dims: usize) -> Lowered {
        let (x, table) = (self.view(node.inputs[0]), self.buf(node.inputs[1]));
        let (out, lowered) = self.written(id);
        let rope = RopeTable { table, style, n_dims };
        let kernel = Rope { x, rope, out, rows: self.tokens(id), n_heads: node.shape[1], head_dim: node.shape[2] };
        self.draft.push(Kernel::Rope(kernel), vec![id]);
        lowered
    }

    fn cache_append(&mut self, id: NodeId, node: &Node, cache: CacheIdx, layer: usize) -> Result<Lowered, PlanError> {
        let (k, v) = (node.inputs[0], node.inputs[1]);
        let (n_kv_heads, head_dim) = (node.shape[1], node.shape[2]);
        match self.options.caches.get(cache.0 as usize) {
            Some(spec) if layer < spec.n_layers && spec.n_kv_heads == n_kv_heads && spec.head_dim == head_dim => {}
            Some(spec) => {
                return Err(self.unsupported(
                    node,
                    format!(
                        "cannot append {} to layer {layer} of a cache of {} layers of ({}, {}): make the cache for this model",
                        self.shape(k),
                        spec.n_layers,
                        spec.n_kv_heads,
                        spec.head_dim
                    ),
                ));
            }
            None => return Err(self.unsupported(node, format!("cache {} is not among the {} given", cache.0, self.options.caches.len()))),
        }
        let rows = Rows { count: self.shape(k)[0], dynamic: self.is_dynamic(k) || self.is_dynamic(v) };
        let (k, v) = (self.view(k), self.view(v));
        let store = CacheStore { k: Some(k), v: Some(v), k_rope: None, rows, n_kv_heads, head_dim, cache, layer };
        self.draft.push(Kernel::CacheStore(store), vec![id]);
        Ok(Lowered::Cache)
    }

    fn attention(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        let Op::Attention { sink, capped, null_logits } = node.op else { return Err(self.unsupported(node, "no attention")) };
        let Op::CacheAppend { cache, layer } = self.graph.node(node.inputs[1]).op else {
            return Err(self.unsupported(node, "attention takes what `cache.append` returns"));
        };
        let (scale, window) = (self.host_scalar(node, 2, "attention's scale")?, self.host_scalar(node, 3, "attention's window")?);
        let q = self.buf(node.inputs[0]);
        let sink = match (sink, node.inputs.get(4)) {
            (Some((style, n_dims)), Some(&rows)) => Some(RopeTable { table: self.buf(rows), style, n_dims }),
            _ => None,
        };
        let last = node.inputs.len() - 1;
        let at_cap = last - usize::from(null_logits);
        let cap = if capped { Some(self.host_scalar(node, at_cap, "attention's cap")?) } else { None };
        let null_logits = null_logits.then(|| self.buf(node.inputs[last]));
        let (out, lowered) = self.written(id);
        let (rows, n_heads, head_dim) = (self.tokens(id), node.shape[1], node.shape[2]);
        let kernel = Attention { q, scale, window, sink, cap, null_logits, out, rows, n_heads, head_dim, cache, layer };
        self.draft.push(Kernel::Attention(kernel), vec![id]);
        Ok(lowered)
    }

    fn sample(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        let Op::Sample { history } = node.op else { return Err(self.unsupported(node, "no sample")) };
        let mut settings = [ScalarRef(0); 7];
        for (i, word) in settings.iter_mut().enumerate() {
            *word = self.host_scalar(node, 1 + i, "a setting of `sample`")?;
        }
        let position = self.host_scalar(node, 8, "the position of `sample`")?;
        let (logits, shape) = (self.buf(node.inputs[0]), self.shape(node.inputs[0]));
        let (out, lowered) = self.written(id);
        let (rows, vocab) = (shape.rows(), shape.last_dim());
        self.draft.push(Kernel::Sample(Sample { logits, rows, vocab, settings, position, history, out }), vec![id]);
        Ok(lowered)
    }

    fn recorded_ids(&mut self, id: NodeId, cache: CacheIdx) -> Lowered {
        let (out, lowered) = self.written(id);
        self.draft.push(Kernel::RecordedIds { cache, out, rows: self.tokens(id) }, vec![id]);
        lowered
    }

    /// Rows of dimension 0.
    fn tokens(&self, id: NodeId) -> Rows {
        Rows { count: self.shape(id)[0], dynamic: self.is_dynamic(id) }
    }
}

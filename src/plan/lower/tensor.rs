//! Ops along an axis, by index, and contractions.

use crate::graph::{EinsumSpec, Node, NodeId, Op, ReduceOp};
use crate::plan::{Cumulate, EinsumKernel, Gather, Kernel, PlanError, Reduce, ScatterAdd, Softmax, View};

use super::{Lowered, Lowering, around};

impl Lowering<'_> {
    /// Tensors made from nothing but a size and a seed.
    pub(super) fn source(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        let len = node.shape.len();
        let seed = match node.op {
            Op::Random(kind) => Some((kind, self.host_scalar(node, 0, "the seed")?)),
            _ => None,
        };
        let (out, lowered) = self.written(id);
        let kernel = match seed {
            Some((kind, seed)) => Kernel::Random { kind, seed, out, len },
            None => Kernel::Iota { out, len },
        };
        self.draft.push(kernel, vec![id]);
        Ok(lowered)
    }

    pub(super) fn indexed(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        let x_id = node.inputs[0];
        let x_shape = self.shape(x_id);
        let dtype = self.dtype(x_id);
        let (kernel, lowered) = match node.op {
            Op::SelectRow if x_shape[0] == 0 => return Err(self.unsupported(node, format!("{x_shape} has no row to take"))),
            // The index is clamped: of a single row there is no choice.
            Op::SelectRow if x_shape[0] == 1 => {
                let view = self.view(x_id);
                return Ok(Lowered::Tensor(View { strides: view.strides[1..].to_vec(), ..view }));
            }
            Op::SelectRow => {
                let (x, n_rows, len) = (self.buf(x_id), x_shape[0], node.shape.len());
                match self.lowered[node.inputs[1].0 as usize] {
                    Lowered::Scalar(index) => {
                        let (out, lowered) = self.written(id);
                        (Kernel::SelectRow { x, index, out, n_rows, len }, lowered)
                    }
                    // An index that the device computed: a gather of one row.
                    _ => {
                        let indices = self.clamped_index(node.inputs[1], n_rows, id);
                        let (out, lowered) = self.written(id);
                        (Kernel::Gather(Gather { x, indices, out, outer: 1, len: n_rows, inner: len, count: 1, dtype }), lowered)
                    }
                }
            }
            Op::LastRows { rows } => {
                let (x, n_rows, len) = (self.buf(x_id), x_shape[0], node.shape.len() / rows.max(1));
                let (out, lowered) = self.written(id);
                (Kernel::LastRows { x, out, n_rows, n_segments: rows, len }, lowered)
            }
            Op::ScatterAdd { axis } => {
                let (outer, len, inner) = around(x_shape, axis);
                let (x, indices, updates) = (self.buf(x_id), self.buf(node.inputs[1]), self.buf(node.inputs[2]));
                let count = self.shape(node.inputs[1]).len();
                let (out, lowered) = self.written(id);
                (Kernel::ScatterAdd(ScatterAdd { x, indices, updates, out, outer, len, inner, count, dtype }), lowered)
            }
            Op::Gather { axis } => {
                let (outer, len, inner) = around(x_shape, axis);
                let (x, indices) = (self.buf(x_id), self.buf(node.inputs[1]));
                let count = self.shape(node.inputs[1]).len();
                let (out, lowered) = self.written(id);
                (Kernel::Gather(Gather { x, indices, out, outer, len, inner, count, dtype }), lowered)
            }
            _ => return Err(self.unsupported(node, "this op takes no indices")),
        };
        self.draft.push(kernel, vec![id]);
        Ok(lowered)
    }

    pub(super) fn along_axis(&mut self, id: NodeId, node: &Node) -> Result<Lowered, PlanError> {
        let x_id = node.inputs[0];
        let x_shape = self.shape(x_id);
        let (x, dtype) = (self.buf(x_id), self.dtype(x_id));
        let (out, lowered) = self.written(id);
        let reduce = |op: ReduceOp, index: bool, axis: usize| {
            let (outer, len, inner) = around(x_shape, axis);
            Kernel::Reduce(Reduce { op, index, x, out, outer, len, inner, dtype })
        };
        let kernel = match node.op {
            Op::Reduce { op, axis, .. } => reduce(op, false, axis),
            Op::ArgMax { axis, .. } => reduce(ReduceOp::Max, true, axis),
            Op::ArgMin { axis, .. } => reduce(ReduceOp::Min, true, axis),
            Op::CumSum { axis } => {
                let (outer, len, inner) = around(x_shape, axis);
                Kernel::Cumulate(Cumulate { x, out, outer, len, inner, dtype })
            }
            Op::Softmax { axis } => {
                let (outer, len, inner) = around(x_shape, axis);
                Kernel::Softmax(Softmax { x, out, outer, len, inner })
            }
            Op::ArgSort { descending } => Kernel::ArgSort { x, out, rows: x_shape.rows(), len: x_shape.last_dim(), descending, dtype },
            _ => return Err(self.unsupported(node, "this op has no axis")),
        };
        self.draft.push(kernel, vec![id]);
        Ok(lowered)
    }

    /// A letter's stride in an operand is the sum over the dimensions that carry it: twice gives the diagonal, none repeats the element.
    pub(super) fn einsum(&mut self, id: NodeId, node: &Node, spec: &EinsumSpec) -> Lowered {
        let mut sizes: Vec<(char, usize)> = Vec::new();
        for (letters, &input) in spec.operands.iter().zip(&node.inputs) {
            for (&letter, &n) in letters.iter().zip(self.shape(input).dims()) {
                if !sizes.iter().any(|s| s.0 == letter) {
                    sizes.push((letter, n));
                }
            }
        }
        let summed: Vec<(char, usize)> = sizes.into_iter().filter(|(c, _)| !spec.output.contains(c)).collect();
        let letters: Vec<char> = spec.output.iter().copied().chain(summed.iter().map(|s| s.0)).collect();
        let mut views: Vec<View> = Vec::new();
        for (own, &input) in spec.operands.iter().zip(&node.inputs) {
            let view = self.view(input);
            let stride = |c: &char| own.iter().zip(&view.strides).filter(|(d, _)| *d == c).map(|(_, s)| s).sum();
            views.push(View { strides: letters.iter().map(stride).collect(), ..view });
        }
        let mut views = views.into_iter();
        let (out, lowered) = self.written(id);
        let (Some(a), b) = (views.next(), views.next()) else { return lowered };
        let out_dims = node.shape.dims().to_vec();
        let sum_dims = summed.iter().map(|s| s.1).collect();
        self.draft.push(Kernel::Einsum(EinsumKernel { a, b, out, out_dims, sum_dims }), vec![id]);
        lowered
    }
}

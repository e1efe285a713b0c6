//! Functions of one element, each an expression of one op.

use crate::graph::{Node, NodeId, Op};
use crate::plan::{Elementwise, Expr, ExprOp, Kernel};

use super::{Lowered, Lowering};

impl Lowering<'_> {
    pub(super) fn elementwise(&mut self, id: NodeId, node: &Node) -> Lowered {
        // Floats are held as f32, so that only a narrowing cast does anything.
        if let Op::Cast(to) = node.op
            && (to == self.dtype(node.inputs[0]) || to == self.graph.dtype(node.inputs[0]))
        {
            return Lowered::Tensor(self.view(node.inputs[0]));
        }
        let (mut inputs, mut scalars, mut ops) = (Vec::new(), Vec::new(), Vec::new());
        for &input in &node.inputs {
            ops.push(match self.lowered[input.0 as usize] {
                Lowered::Scalar(word) => {
                    scalars.push(word);
                    ExprOp::Scalar(scalars.len() as u32 - 1)
                }
                _ => {
                    let read = (self.view(input).broadcast(self.shape(input), &node.shape), self.dtype(input));
                    let at = inputs.iter().position(|known| *known == read).unwrap_or_else(|| {
                        inputs.push(read);
                        inputs.len() - 1
                    });
                    ExprOp::Input(at as u32)
                }
            });
        }
        let dtype = |i: usize| self.dtype(node.inputs[i]);
        ops.push(match node.op {
            Op::Unary(op) => ExprOp::Unary { op, x: 0, dtype: dtype(0) },
            Op::Binary(op) => ExprOp::Binary { op, a: 0, b: 1, dtype: dtype(0) },
            Op::Cast(to) => ExprOp::Cast { x: 0, from: dtype(0), to },
            _ => ExprOp::Where { condition: 0, a: 1, b: 2 },
        });
        let (out, lowered) = self.written(id);
        let (dims, dynamic) = (node.shape.dims().to_vec(), self.is_dynamic(id));
        let kernel = Elementwise { expr: Expr { ops }, inputs, scalars, out, dtype: self.dtype(id), dims, dynamic };
        self.draft.push(Kernel::Elementwise(kernel), vec![id]);
        lowered
    }
}

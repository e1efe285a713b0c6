//! Scalars that the host evaluates: arithmetic on them costs no step.

use crate::graph::{Node, NodeId, Op, ScalarSource};
use crate::plan::{Buf, Kernel, PlanError, ScalarExpr, ScalarRef};

use super::{Lowered, Lowering};

impl Lowering<'_> {
    /// The word that a node is, where the host knows all that it is made from.
    pub(super) fn scalar_word(&mut self, node: &Node) -> Option<ScalarRef> {
        let word = |lowering: &Self, i: usize| match lowering.lowered[node.inputs[i].0 as usize] {
            Lowered::Scalar(word) => Some(word),
            _ => None,
        };
        let dtype = |lowering: &Self, i: usize| lowering.graph.dtype(node.inputs[i]);
        let expr = match &node.op {
            Op::Scalar(ScalarSource::Literal { index, .. }) => ScalarExpr::Literal(*index),
            Op::Scalar(ScalarSource::Runtime(scalar)) => ScalarExpr::Runtime(*scalar),
            Op::Unary(op) => ScalarExpr::Unary { op: *op, x: word(self, 0)?, dtype: dtype(self, 0) },
            Op::Binary(op) => ScalarExpr::Binary { op: *op, a: word(self, 0)?, b: word(self, 1)?, dtype: dtype(self, 0) },
            Op::Cast(to) => ScalarExpr::Cast { x: word(self, 0)?, from: dtype(self, 0), to: *to },
            Op::Reshape | Op::Permute(_) | Op::Broadcast | Op::Slice { .. } => return word(self, 0),
            _ => return None,
        };
        Some(self.draft.word(expr))
    }

    /// The operand as a word.
    pub(super) fn host_scalar(&self, node: &Node, input: usize, what: &str) -> Result<ScalarRef, PlanError> {
        match self.lowered[node.inputs[input].0 as usize] {
            Lowered::Scalar(word) => Ok(word),
            _ => Err(self.unsupported(node, format!("{what} is computed from tensors; it must be made of numbers alone"))),
        }
    }

    /// A buffer of one element that holds the word.
    pub(super) fn stored_scalar(&mut self, value: ScalarRef, id: NodeId) -> Buf {
        if let Some(&buf) = self.stored_scalars.get(&value) {
            return buf;
        }
        let out = self.draft.value(1);
        self.draft.push(Kernel::Scalar { value, out }, vec![id]);
        self.stored_scalars.insert(value, out);
        out
    }
}

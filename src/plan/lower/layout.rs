//! Layout ops: views where strides can say it, copies where not.

use crate::graph::{Node, NodeId, Op};
use crate::plan::{Copy, Kernel, View};

use super::{Lowered, Lowering};

impl Lowering<'_> {
    pub(super) fn layout(&mut self, node: &Node) -> Lowered {
        let x = node.inputs[0];
        let (view, from) = (self.view(x), self.shape(x));
        Lowered::Tensor(match &node.op {
            Op::Permute(axes) => view.permuted(axes),
            Op::Broadcast => view.broadcast(from, &node.shape),
            Op::Slice { starts, steps } => view.sliced(starts, steps, &node.shape),
            _ => match view.reshaped(from, &node.shape) {
                Some(view) => view,
                None => View::contiguous(self.buf(x), &node.shape),
            },
        })
    }

    /// One copy a part, into its window of the whole.
    pub(super) fn concat(&mut self, id: NodeId, node: &Node, axis: usize) -> Lowered {
        let (out, lowered) = self.written(id);
        let whole = View::contiguous(out, &node.shape);
        let mut start = 0;
        for &part in &node.inputs {
            let x = self.view(part);
            let dims = self.shape(part).dims().to_vec();
            let window = View { offset: start * whole.strides[axis] as usize, ..whole.clone() };
            start += dims[axis];
            if !dims.contains(&0) {
                let dynamic = self.is_dynamic(part);
                self.draft.push(Kernel::Copy(Copy { x, out: window, dims, dynamic }), vec![id]);
            }
        }
        lowered
    }
}

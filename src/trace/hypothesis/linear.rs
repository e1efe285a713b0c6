//! Projections with another weight, or the weight read otherwise.

use crate::graph::{Node, NodeId, Op, Weight};
use crate::tensor::DType;
use std::sync::Arc;

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::Hypothesis;

pub(super) fn about(cut: &Cut, at: usize, others: &[Cut]) -> Vec<Hypothesis> {
    let node = &cut.nodes[at];
    if node.op != Op::Linear {
        return Vec::new();
    }
    let w = cut.node(node.inputs[1]);
    let Op::Weight(weight) = &w.op else { return Vec::new() };
    let with_weight = |w: NodeId| Node { inputs: vec![node.inputs[0], w], ..node.clone() };
    let mut found = Vec::new();
    if w.shape.rank() == 2 && w.shape[0] == w.shape[1] {
        let edited = cut.with_nodes_before(at, |new| {
            let like = Node { dtype: DType::F32, ..w.clone() };
            let plain = new.op(Op::Reshape, &[node.inputs[1]], &Node { dtype: DType::F32, ..w.clone() });
            let turned = new.op(Op::Permute(vec![1, 0]), &[plain], &like);
            with_weight(turned)
        });
        found.push(Hypothesis::new(ReasonKind::Transposed, format!("{} transposed", weight.name), edited));
    }
    for candidate in same_shape(others, weight) {
        let edited = cut.with_nodes_before(at, |new| {
            let mut node = w.clone();
            (node.op, node.dtype) = (Op::Weight(candidate.clone()), candidate.dtype);
            let w = new.push(node);
            with_weight(w)
        });
        found.push(Hypothesis::new(ReasonKind::Swapped, format!("the weight {} for {}", candidate.name, weight.name), edited));
    }
    found
}

/// Weights of the other pieces that could stand here.
fn same_shape(others: &[Cut], weight: &Arc<Weight>) -> Vec<Arc<Weight>> {
    let mut found: Vec<Arc<Weight>> = Vec::new();
    for node in others.iter().flat_map(|cut| &cut.nodes) {
        if let Op::Weight(other) = &node.op
            && other.shape == weight.shape
            && other.id != weight.id
            && !found.contains(other)
        {
            found.push(other.clone());
        }
    }
    found
}

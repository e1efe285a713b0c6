//! RMS norms with another weight or eps.

use crate::graph::{BinaryOp, Literal, Node, NodeId, Op};
use crate::tensor::{DType, HostTensor};

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::{Hypothesis, Others};

pub(super) fn about(cut: &Cut, at: usize, others: &Others) -> Vec<Hypothesis> {
    let node = &cut.nodes[at];
    if node.op != Op::RmsNorm {
        return Vec::new();
    }
    let weight = node.inputs[1];
    let width = cut.node(weight).shape.clone();
    let ones = |n: usize| HostTensor::f32([n], vec![1.0; n]);
    let with_weight = |w: NodeId| Node { inputs: vec![node.inputs[0], w, node.inputs[2]], ..node.clone() };
    let missing = cut.with_nodes_before(at, |new| {
        let w = new.bound(ones(width.len()));
        with_weight(w)
    });
    let one_more = cut.with_nodes_before(at, |new| {
        let one = new.literal(Literal::F32(1.0));
        let like = Node { dtype: DType::F32, ..new.node(weight).clone() };
        let w = new.op(Op::Binary(BinaryOp::Add), &[weight, one], &like);
        with_weight(w)
    });
    let twice = cut.with_nodes_before(at, |new| {
        let like = Node { dtype: DType::F32, ..new.node(weight).clone() };
        let w = new.op(Op::Binary(BinaryOp::Mul), &[weight, weight], &like);
        with_weight(w)
    });
    let mut found = vec![
        Hypothesis::new(ReasonKind::NormWeight, "no weight", missing),
        Hypothesis::new(ReasonKind::NormWeight, "1 added to its weight", one_more),
        Hypothesis::new(ReasonKind::NormWeight, "its weight applied twice", twice),
        Hypothesis::new(ReasonKind::NormWeight, "the norm left out", cut.with_alias(at, node.inputs[0])),
    ];
    for eps in [0.0, 1e-12, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3] {
        let edited = cut.with_nodes_before(at, |new| {
            let eps = new.literal(Literal::F32(eps));
            Node { inputs: vec![node.inputs[0], weight, eps], ..node.clone() }
        });
        found.push(Hypothesis::new(ReasonKind::NormEps, format!("an eps of {eps:e}"), edited));
    }
    if let Op::Weight(own) = &cut.node(weight).op {
        for candidate in others.weights_like(own) {
            let edited = cut.with_nodes_before(at, |new| {
                let mut like = cut.node(weight).clone();
                (like.op, like.dtype) = (Op::Weight(candidate.clone()), candidate.dtype);
                let w = new.push(like);
                with_weight(w)
            });
            found.push(Hypothesis::new(ReasonKind::NormWeight, format!("the weight {} for {}", candidate.name, own.name), edited));
        }
    }
    found
}

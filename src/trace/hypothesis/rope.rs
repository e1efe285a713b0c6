//! Rotations of other pairs, by other angles, at other positions.

use std::sync::Arc;

use crate::graph::{BinaryOp, Literal, Node, Op, RopeRowsKind, RopeScaling, RopeSpec, RopeStyle};

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::{Hypothesis, Others};

/// Bases that models use.
const BASES: [f64; 4] = [10_000.0, 500_000.0, 1_000_000.0, 100_000.0];

pub(super) fn about(cut: &Cut, at: usize, _others: &Others) -> Vec<Hypothesis> {
    match &cut.nodes[at].op {
        Op::Rope { style, n_dims } => rotation(cut, at, *style, *n_dims),
        Op::RopeRows { spec, kind: RopeRowsKind::Position } => [positions(cut, at), angles(cut, at, spec)].into_iter().flatten().collect(),
        _ => Vec::new(),
    }
}

fn rotation(cut: &Cut, at: usize, style: RopeStyle, n_dims: usize) -> Vec<Hypothesis> {
    let (other, name) = match style {
        RopeStyle::Interleaved => (
            RopeStyle::Neox,
            format!("RoPE order NEOX, pairs (i, i + {}), where the program has interleaved pairs (2i, 2i + 1)", n_dims / 2),
        ),
        RopeStyle::Neox => (
            RopeStyle::Interleaved,
            format!("RoPE order interleaved, pairs (2i, 2i + 1), where the program has NEOX pairs (i, i + {})", n_dims / 2),
        ),
    };
    vec![
        Hypothesis::new(ReasonKind::RopeOrder, name, cut.with_op(at, Op::Rope { style: other, n_dims })),
        Hypothesis::new(ReasonKind::Rotation, "no rotation", cut.with_alias(at, cut.nodes[at].inputs[0])),
    ]
}

/// The same angles at other positions.
fn positions(cut: &Cut, at: usize) -> Vec<Hypothesis> {
    let node = &cut.nodes[at];
    let first = node.inputs[0];
    let mut found: Vec<Hypothesis> = [-1, 1, -2, 2]
        .into_iter()
        .map(|k: i32| {
            let edited = cut.with_nodes_before(at, |new| {
                let by = new.literal(Literal::I32(k));
                let like = new.node(first).clone();
                let shifted = new.op(Op::Binary(BinaryOp::Add), &[first, by], &like);
                Node { inputs: vec![shifted], ..node.clone() }
            });
            Hypothesis::new(ReasonKind::Position, format!("positions off by {k:+}"), edited)
        })
        .collect();
    if cut.position > 0 {
        let edited = cut.with_nodes_before(at, |new| {
            let zero = new.literal(Literal::I32(0));
            Node { inputs: vec![zero], ..node.clone() }
        });
        found.push(Hypothesis::new(ReasonKind::Position, "positions counted from 0 in this run", edited));
    }
    // Every row at the first row's position: one row of angles, read by all.
    let n = node.shape[0];
    if n > 1 {
        let edited = cut.with_nodes_before(at, |new| {
            let one_row = Node { shape: [1, node.shape[1], node.shape[2]].into(), ..node.clone() };
            let row = new.op(node.op.clone(), &[first], &one_row);
            Node { op: Op::Broadcast, inputs: vec![row], ..node.clone() }
        });
        found.push(Hypothesis::new(ReasonKind::Position, "every row at the first row's position", edited));
    }
    found
}

/// Other angles at the same positions.
fn angles(cut: &Cut, at: usize, spec: &Arc<RopeSpec>) -> Vec<Hypothesis> {
    let with = |spec: RopeSpec| cut.with_op(at, Op::RopeRows { spec: Arc::new(spec), kind: RopeRowsKind::Position });
    let mut found = vec![Hypothesis::new(ReasonKind::Rotation, "the rotation backwards", backwards(cut, at))];
    for base in BASES.into_iter().filter(|&b| b != spec.base) {
        let text = format!("a base of {base} for {}", spec.base);
        found.push(Hypothesis::new(ReasonKind::Rotation, text, with(RopeSpec { base, ..(**spec).clone() })));
    }
    if spec.scaling != RopeScaling::None {
        found.push(Hypothesis::new(
            ReasonKind::Rotation,
            "no scaling of the angles",
            with(RopeSpec { scaling: RopeScaling::None, ..(**spec).clone() }),
        ));
    }
    if !spec.factors.is_empty() {
        found.push(Hypothesis::new(
            ReasonKind::Rotation,
            "no frequency factors",
            with(RopeSpec { factors: Vec::new(), ..(**spec).clone() }),
        ));
    }
    found
}

/// (cos, sin) as (cos, -sin).
fn backwards(cut: &Cut, at: usize) -> Cut {
    let node = cut.nodes[at].clone();
    cut.with_nodes_before(at, |new| {
        let rows = new.push(node.clone());
        let signs = new.bound(crate::tensor::HostTensor::f32([2], vec![1.0, -1.0]));
        Node { op: Op::Binary(BinaryOp::Mul), inputs: vec![rows, signs], ..node }
    })
}

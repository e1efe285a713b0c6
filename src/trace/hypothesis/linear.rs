//! Projections with another weight, or the weight read otherwise.

use std::sync::Arc;

use crate::graph::{Node, NodeId, Op, Weight};
use crate::tensor::{DType, HostTensor};

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::{Hypothesis, Others};

pub(super) fn about(cut: &Cut, at: usize, others: &Others) -> Vec<Hypothesis> {
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
    found.extend(block_orders(cut, at, weight));
    for candidate in others.weights_like(weight) {
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

/// The values of each block in another order. Formats of fewer than eight bits keep two halves of a run of values in the halves of its
/// bytes; a writer or a reader may take neighbours for halves, halves for neighbours, or the wrong half first.
fn block_orders(cut: &Cut, at: usize, weight: &Arc<Weight>) -> Vec<Hypothesis> {
    let DType::Quant(quant) = weight.dtype else { return Vec::new() };
    let node = cut.nodes[at].clone();
    let x = cut.node(node.inputs[0]).clone();
    let (width, last) = (x.shape.last_dim(), x.shape.rank() - 1);
    // Halves of 32 values are a half of a block, of 64 a quarter of a large one's.
    let runs: &[usize] = if quant.block_len > 32 { &[64, 32] } else { &[32] };
    let mut found = Vec::new();
    for &run in runs.iter().filter(|&&run| width.is_multiple_of(run)) {
        let half = run / 2;
        let orders: [(&str, fn(usize, usize) -> usize); 3] = [
            ("neighbours (2i, 2i + 1) where the format has halves (i, i + n)", |i, half| if i < half { 2 * i } else { 2 * (i - half) + 1 }),
            ("halves (i, i + n) where the format has neighbours (2i, 2i + 1)", |i, half| i / 2 + i % 2 * half),
            ("their halves exchanged", |i, half| (i + half) % (2 * half)),
        ];
        for (name, order) in orders {
            let columns: Vec<i32> = (0..width).map(|k| (k / run * run + order(k % run, half)) as i32).collect();
            // Another order of a row's values is the same of the values that they meet.
            let edited = cut.with_nodes_before(at, |new| {
                let columns = new.bound(HostTensor::i32([width], columns));
                let met = new.op(Op::Gather { axis: last }, &[node.inputs[0], columns], &x);
                Node { inputs: vec![met, node.inputs[1]], ..node.clone() }
            });
            let text = format!("each {run} values of {} ({}) in another order: {name}, n = {half}", weight.name, weight.dtype);
            found.push(Hypothesis::new(ReasonKind::WeightFormat, text, edited));
        }
    }
    found
}

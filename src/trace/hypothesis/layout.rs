//! Dimensions in their old order.

use crate::graph::Op;

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::{Hypothesis, Others};

pub(super) fn about(cut: &Cut, at: usize, _others: &Others) -> Vec<Hypothesis> {
    if let Op::Permute(axes) = &cut.nodes[at].op {
        let left_out = cut.with_alias(at, cut.nodes[at].inputs[0]);
        return vec![Hypothesis::new(ReasonKind::Transposed, format!("the order of dimensions {axes:?} left out"), left_out)];
    }
    let permuted: Vec<usize> = (0..cut.nodes.len()).filter(|&i| matches!(cut.nodes[i].op, Op::Permute(_))).collect();
    // Heads put into another order before attention and back after it: each alone is no mistake. Asked once for a piece.
    if permuted.len() < 2 || at + 1 != cut.nodes.len() {
        return Vec::new();
    }
    let left_out = permuted.iter().fold(cut.clone(), |cut, &i| cut.with_alias(i, cut.nodes[i].inputs[0]));
    let text = format!("the {} reorderings of dimensions before it left out: heads, perhaps, were regrouped", permuted.len());
    vec![Hypothesis::new(ReasonKind::Transposed, text, left_out)]
}

//! A plan under construction: each slot is one value with one writer, so that rules may rewrite steps freely.

use std::borrow::Cow;

use crate::graph::{Graph, Literal, NodeId, Op};

use super::place::{Placements, as_weight};
use super::tokens::op_name;
use super::{Buf, Kernel, OutputSpec, RopeRowsSpec, ScalarExpr, ScalarRef, Scalars, SlotId, Step};

/// Steps over values that are not yet shared. `Buf::Slot` names a value; no `Buf::Output` occurs.
pub(super) struct Draft<'g> {
    pub graph: &'g Graph,
    pub steps: Vec<Step>,
    /// Elements of each value.
    pub values: Vec<usize>,
    pub placements: Placements,
    pub rope_rows: Vec<RopeRowsSpec>,
    pub scalars: Scalars,
    pub outputs: Vec<OutputSpec>,
}

impl Draft<'_> {
    /// A value of `len` elements that a step is about to write.
    pub fn value(&mut self, len: usize) -> Buf {
        self.values.push(len);
        Buf::Slot(SlotId(self.values.len() as u32 - 1))
    }

    /// A step for `nodes`, of which the last one gives its value, its name and its place.
    pub fn step(&self, kernel: Kernel, nodes: Vec<NodeId>) -> Step {
        let origin = nodes.last().map(|&id| self.graph.node(id).origin).unwrap_or_default();
        let name = self.name(&nodes);
        Step { kernel, nodes, name, origin }
    }

    /// What tells the nodes apart, joined: their labels or the weights that they apply. Only where none has either, their ops.
    fn name(&self, nodes: &[NodeId]) -> String {
        let mut parts: Vec<Cow<'_, str>> = nodes.iter().filter_map(|&id| self.own_name(id).map(Cow::Borrowed)).collect();
        if parts.is_empty() {
            parts = nodes.iter().map(|&id| op_name(&self.graph.node(id).op)).collect();
        }
        parts.dedup();
        parts.join("+")
    }

    fn own_name(&self, id: NodeId) -> Option<&str> {
        let node = self.graph.node(id);
        match (&node.label, &node.op) {
            (Some(label), _) => Some(label),
            (None, Op::Linear | Op::ExpertLinear | Op::RmsNorm | Op::Embedding) => {
                as_weight(self.graph, node.inputs[1]).map(|w| w.name.strip_suffix(".weight").unwrap_or(&w.name))
            }
            _ => None,
        }
    }

    pub fn push(&mut self, kernel: Kernel, nodes: Vec<NodeId>) {
        let step = self.step(kernel, nodes);
        self.steps.push(step);
    }

    /// The word of an expression; equal ones share it.
    pub fn word(&mut self, expr: ScalarExpr) -> ScalarRef {
        let words = &mut self.scalars.words;
        let at = words.iter().position(|w| *w == expr).unwrap_or_else(|| {
            words.push(expr);
            words.len() - 1
        });
        ScalarRef(at as u32)
    }

    /// A constant that the graph does not hold: it follows the graph's literals, which a run may replace.
    pub fn constant(&mut self, value: Literal) -> ScalarRef {
        let own = self.graph.literals().len();
        let literals = &mut self.scalars.literals;
        let index = literals[own..].iter().position(|l| *l == value).unwrap_or_else(|| {
            literals.push(value);
            literals.len() - own - 1
        });
        self.word(ScalarExpr::Literal((own + index) as u32))
    }
}

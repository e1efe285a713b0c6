//! A plan under construction: each slot is one value with one writer, so that rules may rewrite steps freely.

use std::rc::Rc;

use crate::graph::{Graph, NodeId, Op};

use super::place::{Placements, as_weight};
use super::tokens::name;
use super::{Buf, Kernel, OutputSpec, RopeRowsSpec, Scalars, SlotId, Step};

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

    /// The labels of the nodes, or what tells them apart where they have none: the weight that they apply, then the op.
    fn name(&self, nodes: &[NodeId]) -> String {
        let labels: Vec<Rc<str>> = nodes.iter().filter_map(|&id| self.graph.node(id).label.clone()).collect();
        let mut parts: Vec<String> = labels.iter().map(|l| l.to_string()).collect();
        if parts.is_empty() {
            parts = nodes.iter().map(|&id| self.describe(id)).collect();
        }
        parts.dedup();
        parts.join("+")
    }

    fn describe(&self, id: NodeId) -> String {
        let node = self.graph.node(id);
        let weight = match node.op {
            Op::Linear | Op::RmsNorm | Op::Embedding => as_weight(self.graph, node.inputs[1]),
            _ => None,
        };
        match weight {
            Some(weight) => weight.name.strip_suffix(".weight").unwrap_or(&weight.name).to_owned(),
            None => name(&node.op).to_owned(),
        }
    }

    pub fn push(&mut self, kernel: Kernel, nodes: Vec<NodeId>) {
        let step = self.step(kernel, nodes);
        self.steps.push(step);
    }
}

//! A plan's key: everything of a graph that a plan depends on, and nothing that only a run does.

use crate::tensor::{DType, Shape};

use super::node::{Graph, NodeId};
use super::op::Op;

/// Ops, dtypes, weight identities, shapes and wiring of a graph and its outputs. Literal values, labels and origins are left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GraphKey {
    nodes: Vec<(Op, Vec<NodeId>, Shape, DType)>,
    outputs: Vec<NodeId>,
    tokens: Option<NodeId>,
    long_as_tokens: Vec<(NodeId, usize)>,
}

impl Graph {
    /// The key of this graph with these outputs. Compact it with [`Graph::subgraph`] first, so that equal work has equal keys.
    pub fn key(&self, outputs: &[NodeId]) -> GraphKey {
        let nodes = self.nodes.iter().map(|n| (n.op.clone(), n.inputs.clone(), n.shape.clone(), n.dtype)).collect();
        let long_as_tokens = self.long_as_tokens.iter().map(|(&id, &dim)| (id, dim)).collect();
        GraphKey { nodes, outputs: outputs.to_vec(), tokens: self.tokens, long_as_tokens }
    }
}

//! Which weights share a buffer. Decided by the graph alone, so that a model's plans for every number of tokens agree.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::graph::{BinaryOp, Graph, Node, NodeId, Op, UnaryOp, Weight, WeightId};
use crate::tensor::DType;

use super::{PlacedId, Placement, Storage};

/// Weights by upload, filled as a plan comes to need them.
#[derive(Debug, Default)]
pub(super) struct Placements {
    list: Vec<Placement>,
    /// By member: the weights of several linears of one value.
    groups: HashMap<WeightId, Arc<[Arc<Weight>]>>,
    native: HashMap<WeightId, (PlacedId, usize)>,
    dense: HashMap<Vec<WeightId>, PlacedId>,
}

impl Placements {
    /// Finds the weights that are multiplied by one value and have one type and row length: their rows will follow one another. A gate and what it
    /// gates are a pair of their own, gate first, whatever else is multiplied by their value. A table that an embedding reads stays alone, and
    /// each weight joins its first group only.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut taken: HashSet<WeightId> = HashSet::new();
        let mut groups: Vec<(GroupKey, Vec<Arc<Weight>>)> = Vec::new();
        let is_embedding = |node: &&Node| matches!(node.op, Op::Embedding);
        taken.extend(graph.nodes().map(|n| n.1).filter(is_embedding).filter_map(|n| as_weight(graph, n.inputs[1])).map(|w| w.id));
        let pairs = graph.nodes().filter_map(|(_, node)| gated_pair(graph, node));
        let mut placements = Placements::default();
        for pair in pairs {
            placements.join(pair.into(), &mut taken);
        }
        for (id, _) in graph.nodes() {
            let Some((key, weight)) = applied(graph, id) else { continue };
            match groups.iter_mut().rev().find(|g| g.0 == key) {
                Some((_, members)) => members.push(weight),
                None => groups.push((key, vec![weight])),
            }
        }
        for (_, members) in groups {
            placements.join(members, &mut taken);
        }
        placements
    }

    fn join(&mut self, mut members: Vec<Arc<Weight>>, taken: &mut HashSet<WeightId>) {
        members.retain(|w| !taken.contains(&w.id));
        let mut seen = HashSet::new();
        members.retain(|w| seen.insert(w.id));
        if members.len() > 1 {
            taken.extend(seen);
            let members: Arc<[Arc<Weight>]> = members.into();
            self.groups.extend(members.iter().map(|w| (w.id, members.clone())));
        }
    }

    /// The placement of a weight in its own type, and its first row there.
    pub(super) fn native(&mut self, weight: &Arc<Weight>) -> (PlacedId, usize) {
        if let Some(&found) = self.native.get(&weight.id) {
            return found;
        }
        let parts = self.groups.get(&weight.id).map_or_else(|| vec![weight.clone()], |g| g.to_vec());
        let id = PlacedId(self.list.len() as u32);
        let mut first_row = 0;
        for part in &parts {
            self.native.insert(part.id, (id, first_row));
            first_row += part.shape.rows();
        }
        self.list.push(Placement { parts, storage: Storage::Native });
        self.native[&weight.id]
    }

    /// The placement of weights widened to f32, one after another.
    pub(super) fn dense(&mut self, weights: &[Arc<Weight>]) -> PlacedId {
        let key: Vec<WeightId> = weights.iter().map(|w| w.id).collect();
        *self.dense.entry(key).or_insert_with(|| {
            self.list.push(Placement { parts: weights.to_vec(), storage: Storage::F32 });
            PlacedId(self.list.len() as u32 - 1)
        })
    }

    pub(super) fn get(&self, id: PlacedId) -> &Placement {
        &self.list[id.0 as usize]
    }

    pub(super) fn into_list(self) -> Vec<Placement> {
        self.list
    }
}

/// What the members of a group have in common: the value that they multiply, their type and their row length.
type GroupKey = (NodeId, DType, usize);

/// The weight that a node applies as a linear, and its group.
fn applied(graph: &Graph, id: NodeId) -> Option<(GroupKey, Arc<Weight>)> {
    let node = graph.node(id);
    match node.op {
        Op::Linear => as_weight(graph, node.inputs[1]).map(|w| ((node.inputs[0], w.dtype, w.shape.last_dim()), w.clone())),
        _ => None,
    }
}

/// The weights of `act(x · gateᵀ) · (x · upᵀ)`, whichever way round.
fn gated_pair(graph: &Graph, product: &Node) -> Option<[Arc<Weight>; 2]> {
    let &[a, b] = product.inputs.as_slice() else { return None };
    if product.op != Op::Binary(BinaryOp::Mul) {
        return None;
    }
    let pair = |gate: NodeId, up: NodeId| {
        let (gate, up) = (applied(graph, activated(graph, gate)?)?, applied(graph, up)?);
        (gate.0 == up.0).then_some([gate.1, up.1])
    };
    pair(a, b).or_else(|| pair(b, a))
}

/// What an activation is applied to; `x · sigmoid(x)` is one.
fn activated(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let node = graph.node(id);
    match (&node.op, node.inputs.as_slice()) {
        (Op::Unary(_), &[x]) => Some(x),
        (Op::Binary(BinaryOp::Mul), &[a, b]) => {
            let is_sigmoid_of = |y: NodeId, x: NodeId| graph.node(y).op == Op::Unary(UnaryOp::Sigmoid) && graph.node(y).inputs == [x];
            if is_sigmoid_of(b, a) { Some(a) } else { is_sigmoid_of(a, b).then_some(b) }
        }
        _ => None,
    }
}

/// The weight that a node is, where it is one.
pub(super) fn as_weight(graph: &Graph, id: NodeId) -> Option<&Arc<Weight>> {
    match &graph.node(id).op {
        Op::Weight(weight) => Some(weight),
        _ => None,
    }
}

//! Which weights share a buffer. Decided by the graph alone, so that a model's plans for every number of tokens agree.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::graph::{Graph, NodeId, Op, Weight, WeightId};
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
    /// Finds the weights that are multiplied by one value and have one type and row length: their rows will follow one another. A table that an
    /// embedding reads stays alone, and each weight joins its first group only.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut alone: HashSet<WeightId> = HashSet::new();
        let mut groups: Vec<((NodeId, DType, usize), Vec<Arc<Weight>>)> = Vec::new();
        for (_, node) in graph.nodes() {
            let Some(weight) = node.inputs.get(1).and_then(|&w| as_weight(graph, w)) else { continue };
            match node.op {
                Op::Embedding => {
                    alone.insert(weight.id);
                }
                Op::Linear => {
                    let key = (node.inputs[0], weight.dtype, weight.shape.last_dim());
                    match groups.iter_mut().rev().find(|g| g.0 == key) {
                        Some((_, members)) => members.push(weight.clone()),
                        None => groups.push((key, vec![weight.clone()])),
                    }
                }
                _ => {}
            }
        }
        let mut placements = Placements::default();
        let mut taken = alone;
        for (_, mut members) in groups {
            members.retain(|w| taken.insert(w.id));
            if members.len() > 1 {
                let members: Arc<[Arc<Weight>]> = members.into();
                placements.groups.extend(members.iter().map(|w| (w.id, members.clone())));
            }
        }
        placements
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

/// The weight that a node is, where it is one.
pub(super) fn as_weight(graph: &Graph, id: NodeId) -> Option<&Arc<Weight>> {
    match &graph.node(id).op {
        Op::Weight(weight) => Some(weight),
        _ => None,
    }
}

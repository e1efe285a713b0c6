//! The arena of nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::tensor::{DType, Shape};

use super::op::Op;
use super::scalar::Literal;

/// A node of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// An input of one graph, bound at each run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputId(pub u32);

/// The place in a program that made a node: a key that only the language can resolve. 0 is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin(pub u32);

/// One operation and what it gives.
#[derive(Clone, Debug)]
pub struct Node {
    pub op: Op,
    pub inputs: Vec<NodeId>,
    pub shape: Shape,
    pub dtype: DType,
    pub origin: Origin,
    /// The name of the step it is, for a person: `blk.0.attn_norm`.
    pub label: Option<Arc<str>>,
}

/// A further name of a node that has one already: `let b = a` computes nothing, and is a step to whoever reads the program.
#[derive(Clone, Debug)]
pub struct Alias {
    pub node: NodeId,
    pub label: Arc<str>,
    pub origin: Origin,
    /// How many nodes the graph had when the name was given: where the step stands among the others.
    pub at: u32,
}

/// An append-only arena of nodes; inputs always precede their users.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(super) nodes: Vec<Node>,
    /// The values of `ScalarSource::Literal`, in order of appearance.
    pub(super) literals: Vec<Literal>,
    pub(super) n_inputs: u32,
    /// The input whose dimension 0 is a bucket of which only `TokenCount` rows are true.
    pub(super) tokens: Option<NodeId>,
    /// Nodes made of a size, with the dimension that was made as long as the tokens are many.
    pub(super) long_as_tokens: BTreeMap<NodeId, usize>,
    /// Given to nodes as they are made.
    pub(super) origin: Origin,
    pub(super) aliases: Vec<Alias>,
}

impl Graph {
    pub fn new() -> Self {
        Graph::default()
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub fn shape(&self, id: NodeId) -> &Shape {
        &self.node(id).shape
    }

    pub fn dtype(&self, id: NodeId) -> DType {
        self.node(id).dtype
    }

    /// All nodes, inputs before users.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i as u32), node))
    }

    pub fn literals(&self) -> &[Literal] {
        &self.literals
    }

    pub fn n_inputs(&self) -> usize {
        self.n_inputs as usize
    }

    /// The input whose dimension 0 is the token bucket, where the graph has one.
    pub fn tokens(&self) -> Option<NodeId> {
        self.tokens
    }

    /// Takes the token input as an ordinary one, all of whose rows are true.
    pub fn take_tokens_as_exact(&mut self) {
        self.tokens = None;
        self.long_as_tokens.clear();
    }

    /// Says that a node of the program's own (`zeros([T, C])`, `arange(T)`) has one row a token: of its bucket, too, only the first are true.
    /// Row `t` must not depend on how many there are.
    pub fn set_long_as_tokens(&mut self, id: NodeId, dim: usize) {
        self.long_as_tokens.insert(id, dim);
    }

    /// Renumbers the inputs, so that none is without a node but for the first `kept`, which stay as they are. Gives the old id of each.
    pub fn compact_inputs(&mut self, kept: usize) -> Vec<InputId> {
        let mut is_used: Vec<bool> = (0..self.n_inputs()).map(|i| i < kept).collect();
        for node in &self.nodes {
            if let Op::Input(id) = node.op {
                is_used[id.0 as usize] = true;
            }
        }
        let old: Vec<InputId> = (0..self.n_inputs).filter(|&i| is_used[i as usize]).map(InputId).collect();
        for node in &mut self.nodes {
            if let Op::Input(id) = &mut node.op {
                // The ids are sorted, and this one is among them.
                *id = InputId(old.partition_point(|o| o < id) as u32);
            }
        }
        self.n_inputs = old.len() as u32;
        old
    }

    /// The dimension that `set_long_as_tokens` said of a node.
    pub fn long_as_tokens(&self, id: NodeId) -> Option<usize> {
        self.long_as_tokens.get(&id).copied()
    }

    /// Nodes made from here on come from `origin`.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// Names a step, which from then on is from the current origin: where it was named, not where the library made it. A node keeps its
    /// first name; the others are its aliases.
    pub fn set_label(&mut self, id: NodeId, label: &str) {
        let at = self.nodes.len() as u32;
        let node = &mut self.nodes[id.0 as usize];
        match &node.label {
            None => {
                node.label = Some(label.into());
                node.origin = self.origin;
            }
            Some(first) if **first == *label => {}
            Some(_) if self.aliases.last().is_some_and(|a| a.node == id && *a.label == *label) => {}
            Some(_) => self.aliases.push(Alias { node: id, label: label.into(), origin: self.origin, at }),
        }
    }

    /// The further names of nodes, in the order in which they were given.
    pub fn aliases(&self) -> &[Alias] {
        &self.aliases
    }

    /// The part of the graph that `outputs` need, compacted in the same order, with the outputs' new ids. Inputs keep their ids,
    /// literals are renumbered in order of use. Iterative, so depth costs no stack.
    pub fn subgraph(&self, outputs: &[NodeId]) -> (Graph, Vec<NodeId>) {
        let mut needed = vec![false; self.nodes.len()];
        let mut stack: Vec<NodeId> = outputs.to_vec();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut needed[id.0 as usize], true) {
                stack.extend(&self.nodes[id.0 as usize].inputs);
            }
        }
        let mut new_ids = vec![NodeId(0); self.nodes.len()];
        let mut sub = Graph { n_inputs: self.n_inputs, ..Graph::default() };
        for (i, node) in self.nodes.iter().enumerate().filter(|(i, _)| needed[*i]) {
            let mut node = node.clone();
            for input in &mut node.inputs {
                *input = new_ids[input.0 as usize];
            }
            if let Op::Scalar(super::ScalarSource::Literal { index, .. }) = &mut node.op {
                sub.literals.push(self.literals[*index as usize]);
                *index = (sub.literals.len() - 1) as u32;
            }
            new_ids[i] = NodeId(sub.nodes.len() as u32);
            sub.nodes.push(node);
        }
        let kept = self.long_as_tokens.iter().filter(|(id, _)| needed[id.0 as usize]);
        sub.long_as_tokens = kept.map(|(id, &dim)| (new_ids[id.0 as usize], dim)).collect();
        // Nodes that are needed, before each of the old ones.
        let n_before: Vec<u32> = needed
            .iter()
            .scan(0, |n, &is_needed| {
                let before = *n;
                *n += u32::from(is_needed);
                Some(before)
            })
            .collect();
        let moved = |a: &Alias| Alias {
            node: new_ids[a.node.0 as usize],
            at: n_before.get(a.at as usize).copied().unwrap_or(sub.nodes.len() as u32),
            ..a.clone()
        };
        sub.aliases = self.aliases.iter().filter(|a| needed[a.node.0 as usize]).map(moved).collect();
        sub.tokens = self.tokens.filter(|t| needed[t.0 as usize]).map(|t| new_ids[t.0 as usize]);
        (sub, outputs.iter().map(|id| new_ids[id.0 as usize]).collect())
    }
}

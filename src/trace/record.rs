//! Running a graph so that its steps can be seen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::graph::{Binding, CacheSpec, CompileOptions, Executor, Graph, Node, NodeId, Op, Origin, RunArgs, Weight};
use crate::tensor::{HostTensor, Shape};

use super::stats::Stats;
use super::tokens::{first_of_dim, token_dims};
use super::{StepName, TraceError};

/// Which nodes are steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// Those with a label.
    Labelled,
    /// All but leaves and cache writes; one without a label is named for its number and op: `%12 linear`.
    EveryOp,
}

/// What to trace.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub graph: &'a Graph,
    /// What the graph is run for: a step that none of these needs is not traced.
    pub outputs: &'a [NodeId],
    pub caches: &'a [CacheSpec],
    pub select: Select,
    /// Only the steps of this layer.
    pub layer_idx: Option<usize>,
}

/// One step of a run and its values.
#[derive(Clone, Debug)]
pub struct Step {
    /// The node's label; a label that several nodes bear is followed by `#2`, `#3`, … from the second on.
    pub name: String,
    /// In `Trace::graph`.
    pub node: NodeId,
    pub origin: Origin,
    /// Earlier steps that this one is computed from without another step between, by index in `Trace::steps`.
    pub inputs: Vec<usize>,
    /// Whether the program gives an earlier step this name, too, and computes nothing: `let q_rope = q`.
    pub is_alias: bool,
    pub stats: Stats,
    /// The true token rows alone.
    pub values: Arc<HostTensor>,
}

impl Step {
    pub fn shape(&self) -> &Shape {
        &self.values.shape
    }

    /// The first `n` values, in row-major order.
    pub fn first_values(&self, n: usize) -> Vec<f64> {
        (0..self.values.len().min(n)).map(|i| self.values.value(i)).collect()
    }
}

/// The steps of one run, in the order in which they are computed.
#[derive(Clone, Debug)]
pub struct Trace {
    /// `Executor::describe`.
    pub backend: String,
    pub steps: Vec<Step>,
    /// What was run, compacted, and what it was run with.
    pub graph: Graph,
    pub args: RunArgs,
    pub caches: Vec<CacheSpec>,
    /// The ids that were fed before this run, from position 0 on, where they are known.
    pub history: Vec<i32>,
    /// All weights of the model, where they are known: a diagnosis tries those that the graph does not read.
    pub weights: Vec<Arc<Weight>>,
}

impl Trace {
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|s| s.name == name)
    }

    /// The ids that were fed, where the graph has a token input that was bound on the host.
    pub fn token_ids(&self) -> Option<Vec<i32>> {
        let Op::Input(input) = self.graph.node(self.graph.tokens()?).op else { return None };
        match self.args.inputs.get(input.0 as usize)? {
            Binding::Host(ids) => Some(ids.as_i32()?.iter().take(self.args.n_tokens()).copied().collect()),
            Binding::Device(_) => None,
        }
    }

    /// The position of the first token in the first cache, 0 without one.
    pub fn position(&self) -> usize {
        self.args.caches().first().map_or(0, |c| c.position)
    }
}

/// Runs the graph with fusion off and reads every step back. Values that a fused run would never store are stored, so times mean nothing.
///
/// # Errors
/// When nothing is to be traced, or the backend fails.
pub fn record(request: &Request<'_>, args: &RunArgs, executor: &mut dyn Executor) -> Result<Trace, TraceError> {
    let (graph, outputs) = request.graph.subgraph(request.outputs);
    let mut args = args.clone();
    if args.literals.is_empty() {
        args.literals = graph.literals().to_vec();
    }
    let steps = chosen(&graph, request.select, request.layer_idx);
    if steps.is_empty() {
        return Err(TraceError::Empty(match request.layer_idx {
            Some(i) => format!("no step belongs to layer {i}; leave `--layer` out to see all"),
            None => "nothing has a name here; add `--every-op`".to_owned(),
        }));
    }
    // The run's own outputs stay outputs: what they force (cache writes, samples) then happens as in any run, and literals keep their numbers.
    let mut ids: Vec<NodeId> = steps.iter().map(|s| s.node).collect();
    ids.sort_unstable();
    ids.dedup();
    let wanted: Vec<NodeId> = ids.iter().copied().chain(outputs).collect();
    let options = CompileOptions { fuse: false, caches: request.caches.to_vec() };
    let program = executor.compile(&graph, &wanted, &options)?;
    let tensors = executor.run(program, &args)?;

    let dims = token_dims(&graph);
    let mut values_of: HashMap<NodeId, (Stats, Arc<HostTensor>)> = HashMap::with_capacity(ids.len());
    for (&id, tensor) in ids.iter().zip(&tensors) {
        let mut values = executor.read(tensor)?;
        if let Some(dim) = dims[id.0 as usize] {
            values = first_of_dim(&values, dim, args.n_tokens());
        }
        values_of.insert(id, (Stats::of(&values), Arc::new(values)));
    }
    let inputs = nearest_steps(&graph, &steps);
    let recorded = steps.into_iter().zip(inputs).filter_map(|(Chosen { node, name, origin, is_alias }, inputs)| {
        let (stats, values) = values_of.get(&node)?.clone();
        Some(Step { name, node, origin, inputs, is_alias, stats, values })
    });
    let recorded = recorded.collect();
    Ok(Trace {
        backend: executor.describe(),
        steps: recorded,
        graph,
        args,
        caches: request.caches.to_vec(),
        history: Vec::new(),
        weights: Vec::new(),
    })
}

/// The output of a run, and beside it every named step that it does not need: a variable that nothing reads is of interest, too.
pub fn with_unread_steps(graph: &Graph, output: NodeId) -> Vec<NodeId> {
    let named = graph.nodes().filter(|(_, node)| node.label.is_some() && is_step(node)).map(|(id, _)| id);
    std::iter::once(output).chain(named).collect()
}

/// Whether a node has values of its own that a person may want to see. Of the leaves only the constants that a program names have.
fn is_step(node: &Node) -> bool {
    match node.op {
        Op::CacheAppend { .. } | Op::Weight(_) | Op::Scalar(_) | Op::RopeRows { .. } => false,
        Op::Input(_) | Op::Iota | Op::Random(_) => node.label.is_some(),
        _ => true,
    }
}

/// A step that is to be traced.
struct Chosen {
    node: NodeId,
    name: String,
    origin: Origin,
    is_alias: bool,
}

/// The nodes that are steps, with their names, in the order in which they are computed or named.
fn chosen(graph: &Graph, select: Select, layer_idx: Option<usize>) -> Vec<Chosen> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut steps = Vec::new();
    let mut aliases = graph.aliases().iter().peekable();
    let mut numbered = |label| {
        let times = seen.entry(label).or_default();
        *times += 1;
        if *times == 1 { label.to_owned() } else { format!("{label}#{times}") }
    };
    for i in 0..=graph.len() {
        while let Some(alias) = aliases.next_if(|a| a.at as usize <= i) {
            if is_step(graph.node(alias.node)) {
                steps.push(Chosen { node: alias.node, name: numbered(&alias.label), origin: alias.origin, is_alias: true });
            }
        }
        let id = NodeId(i as u32);
        let Some(node) = (i < graph.len()).then(|| graph.node(id)).filter(|node| is_step(node)) else { continue };
        let name = match (&node.label, select) {
            (Some(label), _) => numbered(label),
            (None, Select::EveryOp) => format!("%{} {}", id.0, op_name(&node.op)),
            (None, Select::Labelled) => continue,
        };
        steps.push(Chosen { node: id, name, origin: node.origin, is_alias: false });
    }
    steps.retain(|s| layer_idx.is_none() || StepName::parse(&s.name).layer_idx == layer_idx);
    steps
}

/// For each step, the steps that are reached from it through nodes that are none. An alias is reached from the step whose node it names.
fn nearest_steps(graph: &Graph, steps: &[Chosen]) -> Vec<Vec<usize>> {
    let index: HashMap<NodeId, usize> = steps.iter().enumerate().filter(|(_, s)| !s.is_alias).map(|(i, s)| (s.node, i)).collect();
    // Shared and carried forward node by node: nothing is walked twice.
    let mut reached: Vec<BTreeSet<usize>> = Vec::with_capacity(graph.len());
    let mut inputs = vec![Vec::new(); steps.len()];
    for (id, node) in graph.nodes() {
        let below: BTreeSet<usize> = node.inputs.iter().flat_map(|i| reached[i.0 as usize].iter().copied()).collect();
        match index.get(&id) {
            Some(&i) => {
                inputs[i] = below.into_iter().collect();
                reached.push(BTreeSet::from([i]));
            }
            None => reached.push(below),
        }
    }
    for (i, alias) in steps.iter().enumerate().filter(|(_, s)| s.is_alias) {
        inputs[i] = match index.get(&alias.node) {
            Some(&first) => vec![first],
            // The first name belongs to another layer than the one that is traced.
            None => reached[alias.node.0 as usize].iter().copied().filter(|&j| j < i).collect(),
        };
    }
    inputs
}

/// The op as tables call it.
pub(super) fn op_name(op: &Op) -> String {
    match op {
        Op::Unary(op) => format!("{op:?}").to_lowercase(),
        Op::Binary(op) => format!("{op:?}").to_lowercase(),
        Op::Reduce { op, .. } => format!("{op:?}").to_lowercase(),
        Op::Cast(to) => format!("cast to {to}"),
        other => {
            let text = format!("{other:?}");
            let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
            let mut name = String::new();
            for (i, c) in text[..end].chars().enumerate() {
                if c.is_uppercase() && i > 0 {
                    name.push('_');
                }
                name.extend(c.to_lowercase());
            }
            name
        }
    }
}

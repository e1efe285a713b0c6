//! A piece of a traced graph, from some steps to a later one, that the definition can compute from the values that were traced.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::{
    Binding, CacheSpec, CacheUse, CompileOptions, Executor, Graph, GraphError, InputId, KvType, Literal, Node, NodeId, Op, RunArgs,
    ScalarSource, Segment,
};
use crate::reference::ReferenceExecutor;
use crate::tensor::{HostTensor, Shape};

use super::TraceError;
use super::record::Trace;
use super::tokens::{first_of_dim, token_dims};

/// Appends a node of another graph whose inputs are here already. `literals` are those of the other graph.
///
/// # Errors
/// When the inputs do not fit the op.
pub fn copy_node(to: &mut Graph, node: &Node, inputs: &[NodeId], literals: &[Literal]) -> Result<NodeId, GraphError> {
    to.set_origin(node.origin);
    let id = match &node.op {
        Op::Input(_) => to.input(node.shape.clone(), node.dtype),
        Op::Weight(weight) => to.weight(weight.clone()),
        Op::Scalar(ScalarSource::Literal { index, .. }) => to.literal(literals[*index as usize]),
        Op::Scalar(ScalarSource::Runtime(scalar)) => to.runtime_scalar(*scalar),
        Op::RopeRows { spec, kind } => to.rope_rows(spec.clone(), *kind, inputs[0], node.shape[0]),
        Op::Iota => to.iota(node.shape[0]),
        Op::Random(kind) => to.random(*kind, node.shape.clone(), inputs[0]),
        Op::Reshape => to.reshape(inputs[0], node.shape.clone())?,
        Op::Broadcast => to.broadcast_to(inputs[0], node.shape.clone())?,
        Op::Slice { starts, steps } => {
            let ranges: Vec<_> = starts.iter().zip(steps).zip(node.shape.dims()).map(|((&a, &b), &n)| (a, b, n)).collect();
            to.slice(inputs[0], &ranges)?
        }
        Op::CacheAppend { cache, layer } => to.cache_append(*cache, *layer, node.shape[0], inputs[0], inputs[1])?,
        op => to.add(op.clone(), inputs)?,
    };
    if let Some(label) = &node.label {
        to.set_label(id, label);
    }
    Ok(id)
}

/// Nodes in topological order that refer to each other by index; the last one is the value. Hypotheses edit them.
#[derive(Clone)]
pub(super) struct Cut {
    pub nodes: Vec<Node>,
    pub literals: Vec<Literal>,
    /// By `InputId` of the cut.
    pub bindings: Vec<Binding>,
    pub n_tokens: usize,
    pub position: usize,
    caches: Vec<CacheSpec>,
    /// Which dimension of the value is the token bucket.
    token_dim: Option<usize>,
}

impl Cut {
    /// What computes step `target` from the values of the steps for which `given` holds. `None` where a value that is needed was not
    /// traced whole: rows of the cache from earlier runs, a bucket in an inner dimension, a tensor of the device.
    pub fn of(trace: &Trace, target: usize, given: impl Fn(usize) -> bool) -> Option<Cut> {
        Cut::from_values(trace, target, |i| given(i).then(|| trace.steps[i].values.clone()))
    }

    /// The same from other values of the steps: those for which `values_of` gives some, in the shape of the step's own.
    pub fn from_values(trace: &Trace, target: usize, values_of: impl Fn(usize) -> Option<Arc<HostTensor>>) -> Option<Cut> {
        let graph = &trace.graph;
        // A node of several names is given by the first of them that is.
        let mut steps_of: HashMap<NodeId, Vec<usize>> = HashMap::new();
        for (i, step) in trace.steps.iter().enumerate() {
            steps_of.entry(step.node).or_default().push(i);
        }
        let goal = trace.steps[target].node;
        let stops =
            |id: NodeId| steps_of.get(&id)?.iter().filter(|&&i| i != target && !(id == goal && i > target)).find_map(|&i| values_of(i));
        let mut needed = vec![false; goal.0 as usize + 1];
        let mut stack = vec![goal];
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut needed[id.0 as usize], true) && stops(id).is_none() {
                stack.extend(&graph.node(id).inputs);
            }
        }

        let dims = token_dims(graph);
        let mut cut = Cut {
            nodes: Vec::new(),
            literals: trace.args.literals.clone(),
            bindings: Vec::new(),
            n_tokens: trace.args.n_tokens(),
            position: trace.position(),
            caches: trace.caches.iter().map(|spec| CacheSpec { n_layers: 0, ..*spec }).collect(),
            token_dim: dims[goal.0 as usize],
        };
        let mut local: HashMap<NodeId, NodeId> = HashMap::new();
        for (id, node) in graph.nodes().take(needed.len()).filter(|(id, _)| needed[id.0 as usize]) {
            let node = match stops(id) {
                Some(values) => {
                    let fits = dims[id.0 as usize].is_none_or(|dim| dim == 0);
                    let values = fits.then_some(values)?;
                    cut.input_node(node, Binding::Host(values))
                }
                None => cut.inner_node(node, &trace.args, &local)?,
            };
            local.insert(id, NodeId(cut.nodes.len() as u32));
            cut.nodes.push(node);
        }
        Some(cut)
    }

    fn input_node(&mut self, node: &Node, binding: Binding) -> Node {
        self.bindings.push(binding);
        Node { op: Op::Input(InputId(self.bindings.len() as u32 - 1)), inputs: Vec::new(), ..node.clone() }
    }

    fn inner_node(&mut self, node: &Node, args: &RunArgs, local: &HashMap<NodeId, NodeId>) -> Option<Node> {
        match &node.op {
            Op::Input(id) => match args.inputs.get(id.0 as usize)? {
                Binding::Host(values) => Some(self.input_node(node, Binding::Host(values.clone()))),
                Binding::Device(_) => None,
            },
            Op::CacheAppend { cache, .. } => {
                let spec = self.caches.get_mut(cache.0 as usize)?;
                // Keys of earlier runs are in the cache and nowhere else.
                if args.caches().get(cache.0 as usize)?.position > 0 {
                    return None;
                }
                // Only the layers of the cut get a cache.
                let op = Op::CacheAppend { cache: *cache, layer: spec.n_layers };
                spec.n_layers += 1;
                Some(Node { op, inputs: node.inputs.iter().map(|i| local[i]).collect(), ..node.clone() })
            }
            _ => Some(Node { inputs: node.inputs.iter().map(|i| local[i]).collect(), ..node.clone() }),
        }
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Multiplications of the contractions, about: what a hypothesis costs.
    pub fn macs(&self) -> f64 {
        let of = |node: &Node| match &node.op {
            Op::Linear | Op::ExpertLinear => node.shape.len() as f64 * self.node(node.inputs[0]).shape.last_dim() as f64,
            Op::Attention { .. } => node.shape.len() as f64 * node.shape[0] as f64 * 2.0,
            _ => node.shape.len() as f64,
        };
        self.nodes.iter().map(of).sum()
    }

    /// Elements of the weights it reads.
    pub fn weight_len(&self) -> usize {
        self.nodes.iter().filter(|n| matches!(n.op, Op::Weight(_))).map(|n| n.shape.len()).sum()
    }

    /// The same with keys and values kept in f32; `None` where it reads no cache, or one that is in f32.
    pub fn with_f32_caches(&self) -> Option<Cut> {
        let is_rounded = |n: &Node| matches!(&n.op, Op::CacheAppend { cache, .. } if self.caches[cache.0 as usize].kv_type != KvType::F32);
        self.nodes.iter().any(is_rounded).then(|| {
            let mut cut = self.clone();
            cut.caches.iter_mut().for_each(|spec| spec.kv_type = KvType::F32);
            cut
        })
    }

    /// The same with caches that hold every token of the run, and what they hold now; `None` where they do already.
    pub fn with_long_caches(&self) -> Option<(Cut, CacheSpec)> {
        let cache_of = |n: &Node| if let Op::CacheAppend { cache, .. } = &n.op { Some(cache.0 as usize) } else { None };
        let short = *self.nodes.iter().filter_map(cache_of).map(|c| &self.caches[c]).find(|spec| spec.window < self.n_tokens)?;
        let mut cut = self.clone();
        let long = |spec: &CacheSpec| CacheSpec { window: spec.window + self.n_tokens.next_power_of_two(), ..*spec };
        for node in &mut cut.nodes {
            if let Some(cache) = cache_of(node) {
                let mut dims = node.shape.to_vec();
                dims[0] = long(&self.caches[cache]).n_positions();
                node.shape = Shape::new(dims);
            }
        }
        cut.caches.iter_mut().for_each(|spec| *spec = long(spec));
        Some((cut, short))
    }

    /// The cache's type by which a step of this piece reads keys and values.
    pub fn kv_type(&self) -> Option<KvType> {
        self.nodes.iter().find_map(|n| match &n.op {
            Op::CacheAppend { cache, .. } => Some(self.caches[cache.0 as usize].kv_type),
            _ => None,
        })
    }

    /// The same with another node in place `at`.
    pub fn with_node(&self, at: usize, node: Node) -> Cut {
        let mut cut = self.clone();
        cut.nodes[at] = node;
        cut
    }

    /// The same with another op in place `at`.
    pub fn with_op(&self, at: usize, op: Op) -> Cut {
        let node = Node { op, ..self.nodes[at].clone() };
        self.with_node(at, node)
    }

    /// The same where users of node `at` read `x` instead; both have one shape.
    pub fn with_alias(&self, at: usize, x: NodeId) -> Cut {
        let node = Node { op: Op::Reshape, inputs: vec![x], ..self.nodes[at].clone() };
        self.with_node(at, node)
    }

    /// The same with nodes before node `at`, and `at` replaced: `build` appends to the list what it needs and gives the node that takes the
    /// place. References of the nodes it appends are by their index in the list it is given.
    pub fn with_nodes_before(&self, at: usize, build: impl FnOnce(&mut Insertion<'_>) -> Node) -> Cut {
        let mut cut = Cut { nodes: self.nodes[..at].to_vec(), ..self.clone() };
        let node = build(&mut Insertion { cut: &mut cut });
        let shift = (cut.nodes.len() - at) as u32;
        cut.nodes.push(node);
        for node in &self.nodes[at + 1..] {
            let inputs = node.inputs.iter().map(|id| if id.0 as usize >= at { NodeId(id.0 + shift) } else { *id }).collect();
            cut.nodes.push(Node { inputs, ..node.clone() });
        }
        cut
    }

    /// The value by the definition: the true token rows alone.
    ///
    /// # Errors
    /// When an edit made operands that do not fit, or the reference fails.
    pub fn evaluate(&self) -> Result<HostTensor, TraceError> {
        let mut graph = Graph::new();
        let mut ids: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        // The graph numbers inputs as they come, an edit may have put one of a higher number first.
        let mut inputs_in_order = Vec::new();
        for node in &self.nodes {
            if let Op::Input(id) = node.op {
                inputs_in_order.push(self.bindings[id.0 as usize].clone());
            }
            let inputs: Vec<NodeId> = node.inputs.iter().map(|i| ids[i.0 as usize]).collect();
            ids.push(copy_node(&mut graph, node, &inputs, &self.literals).map_err(|e| TraceError::Empty(e.message))?);
        }
        let Some(&output) = ids.last() else { return Err(TraceError::Empty("an empty piece of a graph".to_owned())) };
        // A fresh executor: weights widened to f64 are let go with it.
        let mut executor = ReferenceExecutor::new();
        let mut caches = Vec::new();
        for spec in &self.caches {
            caches.push(CacheUse { cache: executor.new_cache(spec)?, position: self.position });
        }
        let program = executor.compile(&graph, &[output], &CompileOptions { fuse: false, caches: self.caches.clone() })?;
        let args = RunArgs::of(inputs_in_order, Segment { caches, n_tokens: self.n_tokens, ..Segment::default() });
        let tensors = executor.run(program, &args)?;
        let values = executor.read(&tensors[0])?;
        Ok(self.token_dim.map_or(values.clone(), |dim| first_of_dim(&values, dim, self.n_tokens)))
    }
}

/// The open end of a cut while a node is replaced by several.
pub(super) struct Insertion<'a> {
    cut: &'a mut Cut,
}

impl Insertion<'_> {
    pub fn node(&self, id: NodeId) -> &Node {
        self.cut.node(id)
    }

    pub fn push(&mut self, node: Node) -> NodeId {
        self.cut.nodes.push(node);
        NodeId(self.cut.nodes.len() as u32 - 1)
    }

    /// A node of `op` whose other fields are those of `like`.
    pub fn op(&mut self, op: Op, inputs: &[NodeId], like: &Node) -> NodeId {
        self.push(Node { op, inputs: inputs.to_vec(), label: None, ..like.clone() })
    }

    pub fn bound(&mut self, values: HostTensor) -> NodeId {
        let node = Node {
            op: Op::Iota,
            inputs: Vec::new(),
            shape: values.shape.clone(),
            dtype: values.dtype,
            origin: Default::default(),
            label: None,
        };
        let node = self.cut.input_node(&node, Binding::Host(Arc::new(values)));
        self.push(node)
    }

    pub fn literal(&mut self, value: Literal) -> NodeId {
        self.cut.literals.push(value);
        let dtype = match value {
            Literal::F32(_) => crate::tensor::DType::F32,
            Literal::I32(_) => crate::tensor::DType::I32,
        };
        let index = self.cut.literals.len() as u32 - 1;
        let op = Op::Scalar(ScalarSource::Literal { index, dtype });
        self.push(Node { op, inputs: Vec::new(), shape: crate::tensor::Shape::scalar(), dtype, origin: Default::default(), label: None })
    }
}

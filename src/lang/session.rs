//! Lazy tensors: a value of the language is a node of a graph until something must know its numbers.
//!
//! A [`Session`] owns the graph. A [`Tensor`] is a handle; the handles alive when a tensor is forced say which nodes are
//! outputs of the run. After a force the graph starts anew, and what was computed is a leaf of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use crate::graph::{
    BinaryOp, Binding, CompileOptions, DeviceTensor, Graph, GraphError, NodeId, Op, Origin, RopeRowsKind, RopeSpec, RunArgs, RuntimeScalar,
    SharedExecutor, TokenDim, UnaryOp, Weight, WeightId,
};
use crate::source::Span;
use crate::tensor::{DType, HostTensor, Shape};

use super::trace::TraceState;
use super::value::Fault;

/// A graph that is longer is forced by itself, so that a loop without output does not grow without bound.
const NODES_MAX: usize = 4096;

/// A model's `forward` of more steps than this does not end.
const TRACE_NODES_MAX: usize = 1 << 20;

/// The most elements of one tensor: what an i32 index of a kernel can reach.
const ELEMENTS_MAX: usize = i32::MAX as usize;

/// Sees each graph before it runs, with the nodes that are wanted of it and what the run is bound to.
pub type RunObserver = Box<dyn FnMut(&Graph, &[NodeId], &RunArgs) + Send>;

/// A tensor of the language, by handle. Copies share the node; nothing changes a tensor that has two handles.
#[derive(Clone)]
pub struct Tensor(Arc<TensorCell>);

struct TensorCell {
    shape: Shape,
    dtype: DType,
    /// What it has of the bucket of tokens that is being traced for.
    tokens: TokenDim,
    /// Which of its elements are the number of tokens, a bit each: what they hold is the bucket, which is right in a shape and nowhere else.
    counts: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The node in the graph of an epoch; older epochs are gone.
    node: Option<(u64, NodeId)>,
    /// Where the values are, once they are somewhere.
    source: Option<TensorSource>,
    /// The copy that reading an element brought.
    host: Option<Arc<HostTensor>>,
}

#[derive(Clone)]
enum TensorSource {
    Host,
    Device(DeviceTensor),
    Weight(Arc<Weight>),
}

impl Tensor {
    fn new(shape: Shape, dtype: DType, state: State) -> Tensor {
        Tensor::counting(shape, dtype, 0, state)
    }

    fn counting(shape: Shape, dtype: DType, counts: u32, state: State) -> Tensor {
        Tensor(Arc::new(TensorCell { shape, dtype, tokens: TokenDim::None, counts, state: Mutex::new(state) }))
    }

    /// Sizes of a shape, or one of no dimensions, of which those that `counts` names are a bucket of tokens.
    pub fn from_sizes(sizes: HostTensor, counts: u32) -> Tensor {
        let (shape, dtype) = (sizes.shape.clone(), sizes.dtype);
        Tensor::counting(shape, dtype, counts, State { source: Some(TensorSource::Host), host: Some(Arc::new(sizes)), node: None })
    }

    /// A tensor whose values are known.
    pub fn from_host(host: HostTensor) -> Tensor {
        let (shape, dtype) = (host.shape.clone(), host.dtype);
        Tensor::new(shape, dtype, State { source: Some(TensorSource::Host), host: Some(Arc::new(host)), node: None })
    }

    /// A tensor on the executor's device.
    pub fn from_device(device: DeviceTensor) -> Tensor {
        let (shape, dtype) = (device.shape.clone(), device.dtype);
        Tensor::new(shape, dtype, State { source: Some(TensorSource::Device(device)), ..State::default() })
    }

    /// A weight in its file's type.
    pub fn from_weight(weight: Arc<Weight>) -> Tensor {
        let (shape, dtype) = (weight.shape.clone(), weight.dtype);
        Tensor::new(shape, dtype, State { source: Some(TensorSource::Weight(weight)), ..State::default() })
    }

    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The element type; a block format for a quantized weight.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// The weight it is, untouched.
    pub fn as_weight(&self) -> Option<Arc<Weight>> {
        match &self.0.state.lock().source {
            Some(TensorSource::Weight(weight)) => Some(weight.clone()),
            _ => None,
        }
    }

    /// The values, where they are on the host already.
    pub fn known(&self) -> Option<Arc<HostTensor>> {
        if self.0.counts == 0 { self.0.state.lock().host.clone() } else { None }
    }

    /// Whether its values are there already, on the host or on the device.
    pub fn is_constant(&self) -> bool {
        let is_known = self.known().is_some();
        is_known || matches!(self.state().source, Some(TensorSource::Device(_)))
    }

    /// What it has of the bucket of tokens that is being traced for.
    pub fn tokens(&self) -> TokenDim {
        self.0.tokens
    }

    /// Whether the size of a dimension comes from the bucket of tokens.
    pub fn is_counted(&self, dim: usize) -> bool {
        match self.0.tokens {
            TokenDim::None => false,
            TokenDim::At(at) => at == dim,
            TokenDim::Mixed => true,
        }
    }

    /// The sizes that it holds and which of them are the number of tokens, where one is.
    pub fn as_sizes(&self) -> Option<(Vec<i64>, u32)> {
        let host = if self.0.counts == 0 { None } else { self.0.state.lock().host.clone() }?;
        Some(((0..host.len()).map(|i| host.value(i) as i64).collect(), self.0.counts))
    }

    /// The values to be changed in place, where no other handle sees them. A copy on a device is given up.
    pub fn unshared_host(&mut self) -> Option<&mut HostTensor> {
        let cell = Arc::get_mut(&mut self.0)?;
        let state = cell.state.get_mut();
        if state.host.is_none() || cell.counts != 0 || matches!(state.source, Some(TensorSource::Weight(_))) {
            return None;
        }
        state.source = Some(TensorSource::Host);
        // A graph that reads the old values has its own handle on them.
        state.node = None;
        state.host.as_mut().map(Arc::make_mut)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

/// An operand of an elementwise op: a tensor, or a number that becomes a literal of the other operand's kind.
#[derive(Clone)]
pub enum Operand {
    Tensor(Tensor),
    Float(f64),
    Int(i64),
    Bool(bool),
}

/// The graph under construction, and what runs it.
pub struct Session {
    graph: Graph,
    epoch: u64,
    bindings: Vec<Binding>,
    live: Vec<Weak<TensorCell>>,
    /// The handles are swept when they are more than this.
    live_max: usize,
    executor: Option<SharedExecutor>,
    origin: Origin,
    spans: Vec<Span>,
    origins: HashMap<Span, Origin>,
    weight_nodes: HashMap<WeightId, NodeId>,
    scalar_nodes: HashMap<RuntimeScalar, Tensor>,
    rope_rows: HashMap<(Arc<RopeSpec>, NodeId, usize), NodeId>,
    /// While a bucket is traced for: what is known of the graph's nodes.
    pub(super) token_dims: Vec<TokenDim>,
    /// Set while a model's `forward` is traced: nothing is forced then.
    pub(super) trace: Option<TraceState>,
    /// The weights whose values statements outside of traces have read, by name.
    pub(super) weights_read: BTreeSet<String>,
    observer: Option<RunObserver>,
}

impl Session {
    /// Without an executor only tensors whose values are known can be read.
    pub fn new(executor: Option<SharedExecutor>) -> Session {
        Session {
            graph: Graph::new(),
            epoch: next_epoch(),
            bindings: Vec::new(),
            live: Vec::new(),
            live_max: 1024,
            executor,
            origin: Origin::default(),
            spans: Vec::new(),
            origins: HashMap::new(),
            weight_nodes: HashMap::new(),
            scalar_nodes: HashMap::new(),
            rope_rows: HashMap::new(),
            token_dims: Vec::new(),
            trace: None,
            weights_read: BTreeSet::new(),
            observer: None,
        }
    }

    pub fn executor(&self) -> Option<&SharedExecutor> {
        self.executor.as_ref()
    }

    /// The place that made the nodes of an origin.
    pub fn span_of(&self, origin: Origin) -> Option<Span> {
        self.spans.get((origin.0 as usize).checked_sub(1)?).copied()
    }

    /// From here on `observer` sees what is forced. The executor is free while it looks.
    pub fn observe(&mut self, observer: RunObserver) {
        self.observer = Some(observer);
    }

    /// The place that nodes are made from now.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// Nodes made from here on come from `span`.
    pub fn set_place(&mut self, span: Span) {
        let next = Origin(self.spans.len() as u32 + 1);
        let origin = *self.origins.entry(span).or_insert(next);
        if origin == next {
            self.spans.push(span);
        }
        self.origin = origin;
        self.graph.set_origin(origin);
    }

    /// Adds nodes to the graph and gives a handle to the last one.
    ///
    /// # Errors
    /// Those of `f`, and a result with more elements than a device can index.
    pub fn build(
        &mut self,
        inputs: &[&Tensor],
        f: impl FnOnce(&mut Graph, &[NodeId]) -> Result<NodeId, GraphError>,
    ) -> Result<Tensor, Fault> {
        if self.graph.len() >= NODES_MAX && self.trace.is_none() {
            self.force_all()?;
        }
        self.build_unforced(inputs, f)
    }

    /// The same where `f` names nodes that no handle holds: the graph stays the one they are of.
    ///
    /// # Errors
    /// As `build`.
    pub fn build_unforced(
        &mut self,
        inputs: &[&Tensor],
        f: impl FnOnce(&mut Graph, &[NodeId]) -> Result<NodeId, GraphError>,
    ) -> Result<Tensor, Fault> {
        if self.graph.len() >= TRACE_NODES_MAX {
            return Err(Fault::new(format!("this graph has more than {TRACE_NODES_MAX} steps")));
        }
        let nodes: Vec<NodeId> = inputs.iter().map(|t| self.node(t)).collect::<Result<_, _>>()?;
        let node = f(&mut self.graph, &nodes)?;
        self.adopt(node)
    }

    /// A handle to a node of the graph.
    pub fn adopt(&mut self, node: NodeId) -> Result<Tensor, Fault> {
        let shape = self.graph.shape(node).clone();
        check_size(&shape)?;
        let tokens = self.token_dim(node);
        let state = State { node: Some((self.epoch, node)), ..State::default() };
        let cell = TensorCell { shape, dtype: self.graph.dtype(node), tokens, counts: 0, state: Mutex::new(state) };
        let tensor = Tensor(Arc::new(cell));
        if self.live.len() >= self.live_max {
            self.live.retain(|t| t.strong_count() > 0);
            self.live_max = (self.live.len() * 2).max(1024);
        }
        self.live.push(Arc::downgrade(&tensor.0));
        Ok(tensor)
    }

    /// The node of a tensor in the graph as it is now.
    pub fn node(&mut self, tensor: &Tensor) -> Result<NodeId, Fault> {
        if tensor.0.counts != 0 {
            return Err(self.needs_count());
        }
        let state = tensor.state();
        if let Some((epoch, node)) = state.node
            && epoch == self.epoch
        {
            return Ok(node);
        }
        let source = state.source.clone();
        let host = state.host.clone();
        drop(state);
        let node = match (source, host) {
            (Some(TensorSource::Weight(weight)), _) => {
                // A trace has it in its graph.
                if self.trace.is_none() && !self.weights_read.contains(&weight.name) {
                    self.weights_read.insert(weight.name.clone());
                }
                let graph = &mut self.graph;
                *self.weight_nodes.entry(weight.id).or_insert_with(|| graph.weight(weight))
            }
            (Some(TensorSource::Device(device)), _) => self.bind(tensor, Binding::Device(device)),
            (Some(TensorSource::Host), Some(host)) => self.bind(tensor, Binding::Host(host)),
            _ => return Err(Fault::new("this tensor belongs to another program's graph")),
        };
        tensor.0.state.lock().node = Some((self.epoch, node));
        Ok(node)
    }

    /// Whether a tensor is a step of a trace, which has no values before the program runs.
    pub fn is_traced(&self, tensor: &Tensor) -> bool {
        let is_computed = matches!(tensor.state().source, Some(TensorSource::Device(_)));
        self.trace.is_some() && tensor.known().is_none() && !is_computed
    }

    /// The op that makes a tensor, where it is a node of the graph that is being built.
    pub fn op_of(&self, tensor: &Tensor) -> Option<&Op> {
        let (epoch, node) = tensor.state().node?;
        (epoch == self.epoch).then(|| &self.graph.node(node).op)
    }

    fn bind(&mut self, tensor: &Tensor, binding: Binding) -> NodeId {
        self.bindings.push(binding);
        self.graph.input(tensor.shape().clone(), tensor.dtype())
    }

    /// Names the step that a tensor is, for `tl trace`.
    pub fn label(&mut self, tensor: &Tensor, name: &str) {
        // A constant is no node before something reads it, which nothing may do.
        if self.trace.is_some() && tensor.is_constant() && self.node(tensor).is_err() {
            return;
        }
        if let Some((epoch, node)) = tensor.state().node
            && epoch == self.epoch
        {
            self.graph.set_label(node, name);
        }
    }

    /// The values of a tensor; brings them to the host once.
    ///
    /// # Errors
    /// Those of the backend; while a model is traced, that its numbers do not exist yet.
    pub fn host(&mut self, tensor: &Tensor) -> Result<Arc<HostTensor>, Fault> {
        if let Some(host) = tensor.known() {
            return Ok(host);
        }
        if tensor.0.counts != 0 {
            return Err(self.needs_count());
        }
        let is_computed = matches!(tensor.state().source, Some(TensorSource::Device(_)));
        if let (Some(trace), false) = (&mut self.trace, is_computed) {
            let node = tensor.state().node.filter(|(epoch, _)| *epoch == self.epoch).map(|(_, node)| node);
            let known = node.and_then(|node| trace.scalar(&self.graph, node));
            return known.map(Arc::new).ok_or_else(|| {
                Fault::new("a model's `forward` cannot depend on the values of a tensor")
                    .hint("use `where(condition, a, b)` instead of `if`")
            });
        }
        if tensor.as_weight().is_some() {
            // As a value a weight is its numbers times one: the product is what a backend reads a weight with.
            let widened = self.binary(BinaryOp::Mul, &Operand::Tensor(tensor.clone()), &Operand::Float(1.0))?;
            let host = self.host(&widened)?;
            tensor.0.state.lock().host = Some(host.clone());
            return Ok(host);
        }
        let device = self.device(tensor)?;
        let executor = self.executor.clone().ok_or_else(no_executor)?;
        let host = Arc::new(executor.lock().read(&device)?);
        tensor.0.state.lock().host = Some(host.clone());
        Ok(host)
    }

    /// The tensor on the device, forced if need be.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn device(&mut self, tensor: &Tensor) -> Result<DeviceTensor, Fault> {
        if tensor.state().source.is_none() {
            self.force_all()?;
        }
        let (source, host) = {
            let state = tensor.state();
            (state.source.clone(), state.host.clone())
        };
        match (source, host) {
            (Some(TensorSource::Device(device)), _) => Ok(device),
            (Some(TensorSource::Host), Some(host)) => {
                let executor = self.executor.clone().ok_or_else(no_executor)?;
                let device = executor.lock().upload(&host)?;
                Ok(device)
            }
            _ => Err(Fault::new("this tensor belongs to another program's graph")),
        }
    }

    /// Computes every tensor that a handle holds, and waits for the device. For `time` and saving.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.force_all()?;
        match &self.executor {
            Some(executor) => Ok(executor.lock().finish()?),
            None => Ok(()),
        }
    }

    pub(super) fn force_all(&mut self) -> Result<(), Fault> {
        let live: Vec<Arc<TensorCell>> = self.live.iter().filter_map(Weak::upgrade).collect();
        let pending: Vec<(&Arc<TensorCell>, NodeId)> = live
            .iter()
            .filter_map(|cell| {
                let state = cell.state.lock();
                let (epoch, node) = state.node?;
                (epoch == self.epoch && state.source.is_none()).then_some((cell, node))
            })
            .collect();
        let mut nodes: Vec<NodeId> = pending.iter().map(|(_, node)| *node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        if !nodes.is_empty() {
            let executor = self.executor.clone().ok_or_else(no_executor)?;
            let (graph, outputs) = self.graph.subgraph(&nodes);
            let options = CompileOptions { fuse: true, caches: Vec::new() };
            let args = RunArgs { inputs: self.bindings.clone(), literals: graph.literals().to_vec(), ..RunArgs::default() };
            if let Some(observer) = &mut self.observer {
                observer(&graph, &outputs, &args);
            }
            let mut executor = executor.lock();
            let program = executor.compile(&graph, &outputs, &options)?;
            let tensors = executor.run(program, &args);
            executor.release(program);
            let tensors = tensors?;
            for (cell, node) in pending {
                if let Ok(at) = nodes.binary_search(&node)
                    && let Some(device) = tensors.get(at)
                {
                    cell.state.lock().source = Some(TensorSource::Device(device.clone()));
                }
            }
        }
        self.restart();
        Ok(())
    }

    /// A new, empty graph.
    fn restart(&mut self) {
        self.graph = Graph::new();
        self.graph.set_origin(self.origin);
        self.epoch = next_epoch();
        self.bindings.clear();
        self.live.clear();
        self.weight_nodes.clear();
        self.scalar_nodes.clear();
        self.rope_rows.clear();
        self.token_dims.clear();
    }

    /// Drops everything that was not forced, after an error.
    pub fn abandon(&mut self) {
        self.restart();
    }

    /// The graph of a finished trace; a new one takes its place.
    pub(super) fn take_graph(&mut self) -> Graph {
        let graph = std::mem::take(&mut self.graph);
        self.restart();
        graph
    }

    /// What the inputs of the graph are bound to, in the order in which tensors were first used.
    pub(super) fn take_bindings(&mut self) -> Vec<Binding> {
        std::mem::take(&mut self.bindings)
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(super) fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// `a op b` with NumPy's broadcasting. A number takes the other operand's kind: an int beside floats is a float. `Div` is true division,
    /// of ints too.
    ///
    /// # Errors
    /// When shapes do not broadcast or types do not fit; for ints to a negative power and remainders by a written zero.
    pub fn binary(&mut self, op: BinaryOp, a: &Operand, b: &Operand) -> Result<Tensor, Fault> {
        let is_float = a.is_float() || b.is_float();
        match op {
            BinaryOp::Div => return self.operate(a, b, true, |g, a, b| g.binary(op, a, b)),
            // A power of ints is an int, unless the written exponent is negative, as of two numbers.
            BinaryOp::Pow if !is_float => match b {
                Operand::Int(v) if *v < 0 => return self.operate(a, b, true, |g, a, b| g.binary(op, a, b)),
                Operand::Tensor(exponents) => self.check_exponents(exponents)?,
                _ => {}
            },
            BinaryOp::Rem if !is_float && matches!(b, Operand::Int(0)) => return Err(Fault::new("`% 0`: ints have no remainder by zero")),
            _ => {}
        }
        self.operate(a, b, is_float, |g, a, b| g.binary(op, a, b))
    }

    /// `a / b` floored: ints of ints, floats otherwise.
    ///
    /// # Errors
    /// When shapes do not broadcast or types do not fit, and for ints by a written zero.
    pub fn floor_div(&mut self, a: &Operand, b: &Operand) -> Result<Tensor, Fault> {
        let is_float = a.is_float() || b.is_float();
        if !is_float && matches!(b, Operand::Int(0)) {
            return Err(Fault::new("ints cannot be divided by zero").hint("write `a / b` for floats: inf or nan"));
        }
        self.operate(a, b, is_float, |g, a, b| {
            let quotient = g.binary(BinaryOp::Div, a, b)?;
            if is_float { g.unary(UnaryOp::Floor, quotient) } else { Ok(quotient) }
        })
    }

    /// `f` of two operands as nodes. `as_floats`: ints become float32 first.
    fn operate(
        &mut self,
        a: &Operand,
        b: &Operand,
        as_floats: bool,
        f: impl FnOnce(&mut Graph, NodeId, NodeId) -> Result<NodeId, GraphError>,
    ) -> Result<Tensor, Fault> {
        let tensors: Vec<&Tensor> = [a, b].into_iter().filter_map(Operand::tensor).collect();
        for operand in [a, b] {
            operand.check_fits(as_floats)?;
        }
        self.build(&tensors, |graph, nodes| {
            let mut nodes = nodes.iter().copied();
            let mut node = |graph: &mut Graph, operand: &Operand| match operand {
                Operand::Tensor(_) => {
                    let node = nodes.next().ok_or_else(|| GraphError::new("an operand is missing"))?;
                    if as_floats && graph.dtype(node) == DType::I32 { graph.cast(node, DType::F32) } else { Ok(node) }
                }
                other => other.literal(graph, as_floats),
            };
            let a = node(graph, a)?;
            let b = node(graph, b)?;
            f(graph, a, b)
        })
    }

    /// Exponents of ints must not be negative: the power would be no int, and a device would give 0.
    fn check_exponents(&mut self, exponents: &Tensor) -> Result<(), Fault> {
        let refused = |what: &str| Err(Fault::new(what).hint("write `cast(x, float32) ** y`"));
        if exponents.known().is_none() && self.trace.is_some() {
            return refused("ints to a power that is known only when the model runs may be no ints");
        }
        let host = self.host(exponents)?;
        match host.as_i32().and_then(|v| v.iter().find(|&&e| e < 0)) {
            Some(e) => refused(&format!("ints to the power {e} are no ints")),
            None => Ok(()),
        }
    }

    /// A scalar of the run, as a tensor that stays symbolic.
    pub fn runtime_scalar(&mut self, scalar: RuntimeScalar) -> Result<Tensor, Fault> {
        if let Some(tensor) = self.scalar_nodes.get(&scalar) {
            return Ok(tensor.clone());
        }
        let node = self.graph.runtime_scalar(scalar);
        let tensor = self.adopt(node)?;
        self.scalar_nodes.insert(scalar, tensor.clone());
        Ok(tensor)
    }

    /// Rows of (cos, sin) for `n` positions from `first` on; made once a graph.
    pub fn rope_rows(&mut self, spec: &Arc<RopeSpec>, first: NodeId, n: usize) -> NodeId {
        let graph = &mut self.graph;
        *self.rope_rows.entry((spec.clone(), first, n)).or_insert_with(|| graph.rope_rows(spec.clone(), RopeRowsKind::Position, first, n))
    }
}

impl Operand {
    fn is_float(&self) -> bool {
        match self {
            // A block format is read as floats.
            Operand::Tensor(tensor) => !matches!(tensor.dtype(), DType::I32 | DType::Bool),
            Operand::Float(_) => true,
            Operand::Int(_) | Operand::Bool(_) => false,
        }
    }

    fn tensor(&self) -> Option<&Tensor> {
        match self {
            Operand::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    fn check_fits(&self, is_float: bool) -> Result<(), Fault> {
        match self {
            Operand::Int(v) if !is_float && i32::try_from(*v).is_err() => {
                Err(Fault::new(format!("{v} does not fit int32")).hint(format!("write `{v}.0` for a float")))
            }
            _ => Ok(()),
        }
    }

    /// The node of a number.
    pub fn literal(&self, graph: &mut Graph, is_float: bool) -> Result<NodeId, GraphError> {
        Ok(match *self {
            Operand::Tensor(_) => return Err(GraphError::new("a tensor is no literal")),
            Operand::Float(v) => graph.literal_f32(v as f32),
            Operand::Int(v) if is_float => graph.literal_f32(v as f32),
            Operand::Int(v) => graph.literal_i32(v as i32),
            Operand::Bool(v) => {
                let int = graph.literal_i32(i32::from(v));
                graph.cast(int, DType::Bool)?
            }
        })
    }
}

/// # Errors
/// When a shape has more elements than a device can index.
pub fn check_size(shape: &Shape) -> Result<(), Fault> {
    let len = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match len {
        Some(n) if n <= ELEMENTS_MAX => Ok(()),
        _ => Err(Fault::new(format!("a tensor of {shape} has more than {ELEMENTS_MAX} elements"))),
    }
}

fn no_executor() -> Fault {
    Fault::new("there is no device to compute this on")
}

fn next_epoch() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

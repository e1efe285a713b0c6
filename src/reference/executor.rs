//! Runs a graph node by node.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::{
    Binding, CacheId, CacheSpec, CompileOptions, Counters, DeviceTensor, ExecError, Executor, Graph, Literal, NoChoice, NodeId, Op,
    ProgramId, Programs, Released, RopeRowsKind, RunArgs, RuntimeScalar, ScalarSource, TokenDim, Weight, rope_rows,
};
use crate::tensor::{DType, HostTensor};

use super::cache::Cache;
use super::value::Value;
use super::{
    attention, einsum, elementwise, embedding, expert_linear, gather, layout, linear, random, reduce, rms_norm, rope, sample, softmax,
};

struct Program {
    graph: Graph,
    outputs: Vec<NodeId>,
    caches: Vec<CacheSpec>,
}

/// The executor that defines what every op computes.
#[derive(Default)]
pub struct ReferenceExecutor {
    programs: Programs<Program>,
    /// With the descriptors, which say whether their model is gone.
    weights: HashMap<Weight, Arc<Value>>,
    tensors: HashMap<u64, Arc<Value>>,
    next_tensor: u64,
    released: Released,
    caches: Vec<Option<Cache>>,
    counters: Counters,
}

impl ReferenceExecutor {
    pub fn new() -> Self {
        ReferenceExecutor { released: Released::default(), ..Self::default() }
    }

    fn store(&mut self, value: Arc<Value>) -> DeviceTensor {
        for id in self.released.take() {
            self.tensors.remove(&id);
        }
        let id = self.next_tensor;
        self.next_tensor += 1;
        let tensor = DeviceTensor::new(id, value.shape.clone(), value.dtype, &self.released);
        self.tensors.insert(id, value);
        tensor
    }

    fn tensor(&self, tensor: &DeviceTensor) -> Result<Arc<Value>, ExecError> {
        let value = self.tensors.get(&tensor.id()).ok_or_else(|| unsupported("a tensor of another executor"))?;
        Ok(if value.shape == tensor.shape { value.clone() } else { Arc::new(Value { shape: tensor.shape.clone(), ..(**value).clone() }) })
    }

    /// The exact f64 values of a tensor, not rounded to f32.
    ///
    /// # Errors
    /// When the tensor is of another executor.
    pub fn read_f64(&self, tensor: &DeviceTensor) -> Result<Vec<f64>, ExecError> {
        Ok(self.tensor(tensor)?.data.clone())
    }

    fn weight(&mut self, weight: &Weight) -> Result<Arc<Value>, ExecError> {
        if let Some(value) = self.weights.get(weight) {
            return Ok(value.clone());
        }
        let bytes = weight.source.bytes().map_err(|e| ExecError::Io(format!("{}: {e}", weight.name)))?;
        let value = Value::from_weight_bytes(&weight.shape, weight.dtype, &bytes)?;
        if let Some(i) = value.data.iter().position(|v| !v.is_finite()) {
            return Err(ExecError::BadWeight(format!("{} holds {} in block {}", weight.name, value.data[i], i / weight.dtype.block_len())));
        }
        let value = Arc::new(value);
        self.weights.insert(weight.clone(), value.clone());
        Ok(value)
    }

    /// The values of `outputs` in a run of one segment.
    fn run_segment(
        &mut self,
        graph: &Graph,
        outputs: &[NodeId],
        args: &RunArgs,
        caches: &[CacheSpec],
    ) -> Result<Vec<Arc<Value>>, ExecError> {
        let mut values: Vec<Option<Arc<Value>>> = vec![None; graph.len()];
        let mut uses = vec![0usize; graph.len()];
        for (_, node) in graph.nodes() {
            node.inputs.iter().for_each(|i| uses[i.0 as usize] += 1);
        }
        outputs.iter().for_each(|o| uses[o.0 as usize] += 1);
        for (id, node) in graph.nodes() {
            values[id.0 as usize] = Some(self.evaluate(graph, id, &values, args, caches)?);
            for input in &node.inputs {
                let left = &mut uses[input.0 as usize];
                *left -= 1;
                if *left == 0 {
                    values[input.0 as usize] = None;
                }
            }
        }
        Ok(outputs.iter().map(|o| values[o.0 as usize].clone().expect("outputs are kept")).collect())
    }

    /// The same in a run of several: each as if it were alone, and their rows one after the other.
    fn run_segments(&mut self, graph: &Graph, outputs: &[NodeId], args: &RunArgs, caches: &[CacheSpec]) -> Result<Vec<Value>, ExecError> {
        let tokens = graph.tokens().map(|id| &graph.node(id).op);
        let (dims, by_segment) = (graph.token_dims(), by_segment(graph));
        let mut joined: Vec<Value> = Vec::new();
        let mut first = 0;
        for (s, segment) in args.segments.iter().enumerate() {
            let mut inputs = args.inputs.clone();
            if let Some(Op::Input(id)) = tokens {
                let ids = match &inputs[id.0 as usize] {
                    Binding::Host(ids) => ids.clone(),
                    Binding::Device(ids) => Arc::new(self.tensor(ids)?.to_host()),
                };
                let ids = ids.as_i32().and_then(|ids| ids.get(first..first + segment.n_tokens)).unwrap_or(&[]).to_vec();
                inputs[id.0 as usize] = Binding::Host(Arc::new(HostTensor::i32([ids.len()], ids)));
            }
            let own = RunArgs { inputs, literals: args.literals.clone(), segments: vec![segment.clone()] };
            let values = self.run_segment(graph, outputs, &own, caches)?;
            for (i, (value, output)) in values.iter().zip(outputs).enumerate() {
                if s == 0 {
                    joined.push((**value).clone());
                    continue;
                }
                let width = value.data.len() / value.shape.dims().first().copied().unwrap_or(1).max(1);
                let (to, n) = match dims[output.0 as usize] {
                    TokenDim::At(0) => (first, segment.n_tokens),
                    _ if by_segment[output.0 as usize] => (s, 1),
                    _ => continue,
                };
                joined[i].data[to * width..(to + n) * width].copy_from_slice(&value.data[..n * width]);
            }
            first += segment.n_tokens;
        }
        Ok(joined)
    }

    fn evaluate(
        &mut self,
        graph: &Graph,
        id: NodeId,
        values: &[Option<Arc<Value>>],
        args: &RunArgs,
        specs: &[CacheSpec],
    ) -> Result<Arc<Value>, ExecError> {
        let node = graph.node(id);
        let input = |i: usize| -> &Value {
            let id = node.inputs[i];
            values[id.0 as usize].as_deref().expect("inputs come before their users")
        };
        let n_tokens = args.n_tokens();
        let shape = node.shape.clone();
        let value = match &node.op {
            Op::Input(input) => return self.bound(graph, id, args.inputs.get(input.0 as usize)),
            Op::Weight(weight) => return self.weight(&weight.clone()),
            Op::Scalar(source) => scalar(*source, args, graph.literals()),
            Op::RopeRows { spec, kind } => {
                let window = match kind {
                    RopeRowsKind::Position => None,
                    RopeRowsKind::SinkDelta(cache) => Some(specs[cache.0 as usize].window),
                };
                let rows = rope_rows(spec, input(0).data[0] as i64, shape[0], window);
                Value::new(shape, DType::F32, rows.into_iter().map(f64::from).collect())
            }
            Op::Iota => Value::new(shape.clone(), DType::I32, (0..shape.len()).map(|i| i as f64).collect()),
            Op::Random(kind) => Value::new(shape.clone(), DType::F32, random::random(*kind, input(0).data[0] as i32 as u32, shape.len())),
            Op::Unary(op) => elementwise::unary(*op, input(0)),
            Op::Binary(op) => elementwise::binary(*op, input(0), input(1), &shape, node.dtype),
            Op::Where => elementwise::select(input(0), input(1), input(2), &shape, node.dtype),
            Op::Cast(to) => elementwise::cast(input(0), *to),
            Op::Reshape => Value::new(shape, input(0).dtype, input(0).data.clone()),
            Op::Permute(axes) => layout::permute(input(0), axes),
            Op::Broadcast => layout::broadcast(input(0), &shape),
            Op::Slice { starts, steps } => layout::slice(input(0), starts, steps, &shape),
            Op::Concat { axis } => layout::concat(&(0..node.inputs.len()).map(input).collect::<Vec<_>>(), *axis, &shape),
            Op::LastRows { rows } => {
                let row = layout::select_row(input(0), n_tokens as i64 - 1).data;
                Value::new(shape, input(0).dtype, (0..*rows).flat_map(|_| row.clone()).collect())
            }
            Op::RecordedIds(cache) => {
                let (cache, position) = self.cache(args, cache.0)?;
                let ids = (0..shape.len()).map(|t| if t < n_tokens { f64::from(cache.recorded(position + t)) } else { 0.0 }).collect();
                Value::new(shape, DType::I32, ids)
            }
            Op::SelectRow => layout::select_row(input(0), input(1).data[0] as i64),
            Op::Gather { axis } => gather::gather(input(0), input(1), *axis, &shape),
            Op::ScatterAdd { axis } => gather::scatter_add(input(0), input(1), input(2), *axis),
            Op::Reduce { op, axis, .. } => reduce::reduce(*op, input(0), *axis, &shape),
            Op::ArgMax { axis, .. } => reduce::arg_extremum(input(0), *axis, &shape, |a, b| a > b),
            Op::ArgMin { axis, .. } => reduce::arg_extremum(input(0), *axis, &shape, |a, b| a < b),
            Op::CumSum { axis } => reduce::cumsum(input(0), *axis),
            Op::ArgSort { descending } => reduce::argsort(input(0), *descending),
            Op::Einsum(spec) => einsum::einsum(spec, &(0..node.inputs.len()).map(input).collect::<Vec<_>>(), &shape),
            Op::Linear => linear::linear(input(0), input(1), &shape),
            Op::ExpertLinear => expert_linear::expert_linear(input(0), input(1), input(2), &shape),
            Op::Embedding => embedding::embedding(input(0), input(1), &shape),
            Op::RmsNorm => rms_norm::rms_norm(input(0), input(1), input(2).data[0]),
            Op::Softmax { axis } => softmax::softmax(input(0), *axis),
            Op::Rope { style, n_dims } => rope::rope(input(0), input(1), *style, *n_dims),
            Op::CacheAppend { cache, layer } => {
                let (cache, position) = self.cache(args, cache.0)?;
                let rows = if graph.tokens().is_some() { n_tokens } else { input(0).shape[0] };
                cache.append(*layer, position, rows, input(0), input(1))?;
                // The value is never read: attention reads the cache itself.
                Value::new([0].into(), DType::F32, Vec::new())
            }
            Op::Attention { sink, capped, null_logits } => {
                let Op::CacheAppend { cache, layer } = graph.node(node.inputs[1]).op else {
                    return Err(unsupported("attention of something else than a cache"));
                };
                let rows = if graph.tokens().is_some() { n_tokens } else { input(0).shape[0] };
                let (cache, position) = self.cache(args, cache.0)?;
                let sink = sink.map(|(style, n_dims)| (style, n_dims, input(4)));
                let last = node.inputs.len() - 1;
                let (cap, null) = (capped.then(|| input(last - usize::from(*null_logits)).data[0]), null_logits.then(|| input(last)));
                attention::attention(input(0), cache, layer, position, rows, input(2).data[0], input(3).data[0] as usize, sink, cap, null)
            }
            Op::Sample { history } => {
                let settings: Vec<f64> = (1..9).map(|i| input(i).data[0]).collect();
                let position = settings[7] as usize;
                let recent = match history {
                    Some(cache) => self.cache(args, cache.0)?.0.recent(position, settings[5] as usize),
                    None => Vec::new(),
                };
                // The rows of a run of one segment are one row again and again.
                let logits = &input(0).data[..input(0).shape.last_dim()];
                let id = sample::choose(logits, &settings, &recent).map_or_else(NoChoice::id, |choice| choice.id as i32);
                if let Some(cache) = history {
                    self.cache(args, cache.0)?.0.record(position, id);
                }
                Value::new(shape.clone(), DType::I32, vec![f64::from(id); shape.len()])
            }
        };
        Ok(Arc::new(value))
    }

    fn bound(&self, graph: &Graph, id: NodeId, binding: Option<&Binding>) -> Result<Arc<Value>, ExecError> {
        let node = graph.node(id);
        let mut value = match binding {
            Some(Binding::Host(host)) => Arc::new(Value::from_host(host)),
            Some(Binding::Device(tensor)) => self.tensor(tensor)?,
            None => return Err(unsupported("an input that is not bound")),
        };
        let len = node.shape.len();
        if value.data.len() != len {
            // A token bucket may be bound to fewer rows; the rest is undefined, here 0.
            let mut data = value.data.clone();
            data.resize(len, 0.0);
            value = Arc::new(Value::new(node.shape.clone(), node.dtype, data));
        }
        Ok(value)
    }

    fn cache(&mut self, args: &RunArgs, cache: u32) -> Result<(&mut Cache, usize), ExecError> {
        let used = args.caches().get(cache as usize).ok_or_else(|| unsupported("a cache that is not bound"))?;
        match self.caches.get_mut(used.cache.0 as usize) {
            Some(Some(cache)) => Ok((cache, used.position)),
            _ => Err(unsupported("a cache that was freed")),
        }
    }
}

/// By node: whether it has a row for each segment of a run.
fn by_segment(graph: &Graph) -> Vec<bool> {
    let mut found: Vec<bool> = Vec::with_capacity(graph.len());
    for (_, node) in graph.nodes() {
        found.push(matches!(node.op, Op::LastRows { .. }) || node.inputs.iter().any(|i| found[i.0 as usize]));
    }
    found
}

fn scalar(source: ScalarSource, args: &RunArgs, literals: &[Literal]) -> Value {
    let segment = &args.segments[0];
    let s = &segment.sampling;
    match source {
        ScalarSource::Literal { index, dtype } => {
            let literal = args.literals.get(index as usize).unwrap_or(&literals[index as usize]);
            let value = match *literal {
                Literal::F32(v) => f64::from(v),
                Literal::I32(v) => f64::from(v),
            };
            Value::scalar(dtype, value)
        }
        ScalarSource::Runtime(scalar) => {
            let value = match scalar {
                RuntimeScalar::Position(cache) => segment.caches.get(cache.0 as usize).map_or(0.0, |c| c.position as f64),
                RuntimeScalar::TokenCount => segment.n_tokens as f64,
                RuntimeScalar::Temperature => f64::from(s.temperature),
                RuntimeScalar::TopK => f64::from(s.top_k),
                RuntimeScalar::TopP => f64::from(s.top_p),
                RuntimeScalar::MinP => f64::from(s.min_p),
                RuntimeScalar::RepeatPenalty => f64::from(s.repeat_penalty),
                RuntimeScalar::RepeatLastN => f64::from(s.repeat_last_n),
                RuntimeScalar::Seed => f64::from(s.seed as i32),
            };
            Value::scalar(scalar.dtype(), value)
        }
    }
}

fn unsupported(what: &str) -> ExecError {
    ExecError::Unsupported { message: format!("the reference was given {what}"), origin: Default::default() }
}

impl Executor for ReferenceExecutor {
    fn describe(&self) -> String {
        "reference: f64, one thread".to_owned()
    }

    fn compile(&mut self, graph: &Graph, outputs: &[NodeId], options: &CompileOptions) -> Result<ProgramId, ExecError> {
        let (graph, outputs) = graph.subgraph(outputs);
        let key = (graph.key(&outputs), options.clone());
        if let Some(program) = self.programs.find(&key) {
            return Ok(program);
        }
        self.counters.programs += 1;
        Ok(self.programs.insert(Some(key), Program { graph, outputs, caches: options.caches.clone() }))
    }

    fn release(&mut self, program: ProgramId) {
        drop(self.programs.release(program));
    }

    fn free_retired(&mut self) {
        let is_gone =
            |program: &Program| program.graph.nodes().any(|(_, node)| matches!(&node.op, Op::Weight(weight) if weight.is_retired()));
        drop(self.programs.remove_if(is_gone));
        self.weights.retain(|weight, _| !weight.is_retired());
    }

    fn run(&mut self, program: ProgramId, args: &RunArgs) -> Result<Vec<DeviceTensor>, ExecError> {
        let program = self.programs.get_mut(program).ok_or_else(|| unsupported("a program that was freed"))?;
        let Program { graph, outputs, caches } = program;
        let (graph, outputs, caches) = (graph.clone(), outputs.clone(), caches.clone());
        self.counters.steps += 1;
        if args.segments.len() != 1 {
            let values = self.run_segments(&graph, &outputs, args, &caches)?;
            return Ok(values.into_iter().map(|value| self.store(Arc::new(value))).collect());
        }
        let values = self.run_segment(&graph, &outputs, args, &caches)?;
        Ok(values.into_iter().map(|value| self.store(value)).collect())
    }

    fn computes_padding(&self) -> bool {
        true
    }

    fn upload(&mut self, tensor: &HostTensor) -> Result<DeviceTensor, ExecError> {
        Ok(self.store(Arc::new(Value::from_host(tensor))))
    }

    fn read(&mut self, tensor: &DeviceTensor) -> Result<HostTensor, ExecError> {
        Ok(self.tensor(tensor)?.to_host())
    }

    fn finish(&mut self) -> Result<(), ExecError> {
        Ok(())
    }

    fn new_cache(&mut self, spec: &CacheSpec) -> Result<CacheId, ExecError> {
        self.caches.push(Some(Cache::new(spec)));
        Ok(CacheId(self.caches.len() as u32 - 1))
    }

    fn add_cache(&mut self, beside: CacheId) -> Result<CacheId, ExecError> {
        let spec = self.caches.get(beside.0 as usize).and_then(Option::as_ref).map(|cache| cache.spec);
        self.new_cache(&spec.ok_or_else(|| unsupported("a cache that was freed"))?)
    }

    fn fork_cache(&mut self, of: CacheId, _: usize) -> Result<CacheId, ExecError> {
        let cache = self.caches.get(of.0 as usize).cloned().flatten();
        self.caches.push(Some(cache.ok_or_else(|| unsupported("a cache that was freed"))?));
        Ok(CacheId(self.caches.len() as u32 - 1))
    }

    fn free_cache(&mut self, cache: CacheId) {
        if let Some(slot) = self.caches.get_mut(cache.0 as usize) {
            *slot = None;
        }
    }

    fn record_history(&mut self, cache: CacheId, position: usize, ids: &[i32]) -> Result<(), ExecError> {
        match self.caches.get_mut(cache.0 as usize) {
            Some(Some(cache)) => {
                ids.iter().enumerate().for_each(|(i, &id)| cache.record(position + i, id));
                Ok(())
            }
            _ => Err(unsupported("a cache that was freed")),
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

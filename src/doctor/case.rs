//! One check: graphs to run, and how near the answers must be.

use std::sync::Arc;

use crate::graph::{Binding, CacheSpec, CacheUse, CompileOptions, ExecError, Executor, Graph, NodeId, RunArgs, Sampling, Segment, Weight};
use crate::tensor::{DType, HostTensor, Shape};

/// How near an answer must be to the definition's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Equal: ints, Booleans, moved elements.
    Exact,
    /// ‖out − exact‖ / ‖exact‖ over each output.
    Relative(f64),
    /// ‖out − exact‖ / max(‖exact‖, `magnitude` · √n) over each output of n elements. For sums whose rounding errors are as large as their terms
    /// make them, however the terms cancel: `magnitude` is what such a sum of random terms has.
    Scaled { bound: f64, magnitude: f64 },
}

/// One graph and one run of it.
pub struct Run {
    pub graph: Graph,
    pub outputs: Vec<NodeId>,
    pub inputs: Vec<HostTensor>,
    /// Of the case's cache.
    pub position: usize,
    pub n_tokens: usize,
    /// Rows of each output that are compared; the rest of a token bucket is undefined.
    pub compared_rows: Option<usize>,
    pub sampling: Sampling,
}

impl Run {
    /// A run without a cache.
    pub fn new(graph: Graph, outputs: Vec<NodeId>, inputs: Vec<HostTensor>) -> Self {
        Run { graph, outputs, inputs, position: 0, n_tokens: 0, compared_rows: None, sampling: Sampling::default() }
    }
}

/// Runs that share a cache, compared with the reference one by one.
pub struct Case {
    /// The op, then what is special: `linear q4_0 33x96, 2 rows`.
    pub name: String,
    pub runs: Vec<Run>,
    pub cache: Option<CacheSpec>,
    /// Ids recorded from position 0 before the first run.
    pub history: Vec<i32>,
    pub bound: Bound,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The largest error of its outputs.
    Pass {
        error: f64,
    },
    Fail {
        error: f64,
        detail: String,
    },
    /// The backend refused.
    Error(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub name: String,
    pub bound: Bound,
    pub verdict: Verdict,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        matches!(self.verdict, Verdict::Pass { .. })
    }
}

impl Case {
    /// A case of one graph without a cache: `build` adds nodes and returns the outputs.
    pub fn of(
        name: impl Into<String>,
        bound: Bound,
        inputs: Vec<HostTensor>,
        build: impl FnOnce(&mut Graph, &[NodeId]) -> Vec<NodeId>,
    ) -> Self {
        let mut graph = Graph::new();
        let ids: Vec<NodeId> = inputs.iter().map(|t| graph.input(t.shape.clone(), t.dtype)).collect();
        let outputs = build(&mut graph, &ids);
        Case { name: name.into(), runs: vec![Run::new(graph, outputs, inputs)], cache: None, history: Vec::new(), bound }
    }

    /// The kernel and its variant, as tables call them: `linear q4_0`, `attention, f16 cache`.
    pub fn kernel(&self) -> String {
        let mut words = self.name.split([' ', ',']).filter(|w| !w.is_empty());
        let op = words.next().unwrap_or_default();
        match op {
            "linear" | "expert_linear" | "embedding" | "rope" => format!("{op} {}", words.next().unwrap_or_default()),
            "attention" => {
                let stored = ["f16", "q8_0"].into_iter().find(|stored| words.clone().any(|w| w == *stored)).unwrap_or("f32");
                format!("attention, {stored} cache")
            }
            op if super::elementwise::is_op(op) => "elementwise".to_owned(),
            op => op.to_owned(),
        }
    }

    pub(super) fn check(&self, tested: &mut dyn Executor, reference: &mut dyn Executor) -> Outcome {
        // Fused and unfused plans use different kernels; both must be right.
        let mut worst = 0.0f64;
        for fuse in [true, false] {
            match self.compare(tested, reference, fuse) {
                Ok(Verdict::Pass { error }) => worst = worst.max(error),
                Ok(verdict) => return self.outcome(verdict),
                Err(error) => return self.outcome(Verdict::Error(error.to_string())),
            }
        }
        self.outcome(Verdict::Pass { error: worst })
    }

    fn outcome(&self, verdict: Verdict) -> Outcome {
        Outcome { name: self.name.clone(), bound: self.bound, verdict }
    }

    fn compare(&self, tested: &mut dyn Executor, reference: &mut dyn Executor, fuse: bool) -> Result<Verdict, ExecError> {
        let got = self.values(tested, fuse)?;
        let expected = self.values(reference, fuse)?;
        let mut worst = 0.0f64;
        for (run, (got, expected)) in got.iter().zip(&expected).enumerate() {
            for (output, (got, expected)) in got.iter().zip(expected).enumerate() {
                let (error, bound) = match self.bound {
                    Bound::Exact => (error(got, expected, 0.0), 0.0),
                    Bound::Relative(bound) => (error(got, expected, 0.0), bound),
                    Bound::Scaled { bound, magnitude } => (error(got, expected, magnitude), bound),
                };
                let passes = error <= bound;
                if !passes {
                    let plan = if fuse { "fused" } else { "unfused" };
                    let detail = format!("run {run}, output {output}, {plan}: {}", first_difference(got, expected));
                    return Ok(Verdict::Fail { error, detail });
                }
                worst = worst.max(error);
            }
        }
        Ok(Verdict::Pass { error: worst })
    }

    fn values(&self, executor: &mut dyn Executor, fuse: bool) -> Result<Vec<Vec<HostTensor>>, ExecError> {
        let cache = self.cache.as_ref().map(|spec| executor.new_cache(spec)).transpose()?;
        if let Some(cache) = cache
            && !self.history.is_empty()
        {
            executor.record_history(cache, 0, &self.history)?;
        }
        let values = self.runs.iter().map(|run| self.run_values(run, executor, cache, fuse)).collect();
        if let Some(cache) = cache {
            executor.free_cache(cache);
        }
        values
    }

    fn run_values(
        &self,
        run: &Run,
        executor: &mut dyn Executor,
        cache: Option<crate::graph::CacheId>,
        fuse: bool,
    ) -> Result<Vec<HostTensor>, ExecError> {
        let options = CompileOptions { fuse, caches: self.cache.into_iter().collect() };
        let program = executor.compile(&run.graph, &run.outputs, &options)?;
        let caches = cache.into_iter().map(|cache| CacheUse { cache, position: run.position }).collect();
        let args = RunArgs {
            inputs: run.inputs.iter().map(|t| Binding::Host(Arc::new(t.clone()))).collect(),
            literals: run.graph.subgraph(&run.outputs).0.literals().to_vec(),
            segments: vec![Segment { caches, n_tokens: run.n_tokens, sampling: run.sampling }],
        };
        let outputs = executor.run(program, &args)?;
        outputs
            .iter()
            .map(|o| {
                let value = executor.read(o)?;
                Ok(match run.compared_rows {
                    Some(rows) => first_rows(&value, rows),
                    None => value,
                })
            })
            .collect()
    }
}

/// A weight of seeded values.
pub(super) fn weight(noise: &mut super::Noise, name: &str, shape: impl Into<Shape>, dtype: DType) -> Arc<Weight> {
    let shape = shape.into();
    let bytes = noise.weight_bytes(dtype, shape.len());
    Arc::new(Weight::new(name, shape, dtype, Arc::new(bytes)))
}

fn first_rows(tensor: &HostTensor, rows: usize) -> HostTensor {
    let mut dims = tensor.shape.dims().to_vec();
    if dims.first().is_none_or(|&d| d <= rows) {
        return tensor.clone();
    }
    let row_len = tensor.len() / dims[0];
    dims[0] = rows;
    match (tensor.as_f32(), tensor.as_i32()) {
        (Some(v), _) => HostTensor { dtype: tensor.dtype, ..HostTensor::f32(dims, v[..rows * row_len].to_vec()) },
        (_, Some(v)) => HostTensor { dtype: tensor.dtype, ..HostTensor::i32(dims, v[..rows * row_len].to_vec()) },
        _ => tensor.clone(),
    }
}

/// ‖got − expected‖ / max(‖expected‖, magnitude · √n), infinite where shapes, types, finiteness or NaN differ.
fn error(got: &HostTensor, expected: &HostTensor, magnitude: f64) -> f64 {
    if got.shape != expected.shape || got.dtype != expected.dtype {
        return f64::INFINITY;
    }
    let (mut difference, mut norm) = (0.0, 0.0);
    for i in 0..got.len() {
        let (g, e) = (got.value(i), expected.value(i));
        if g.is_finite() != e.is_finite() || g.is_nan() != e.is_nan() {
            return f64::INFINITY;
        }
        if g != e && e.is_finite() {
            difference += (g - e) * (g - e);
        }
        norm += if e.is_finite() { e * e } else { 0.0 };
    }
    let floor = magnitude * magnitude * got.len() as f64;
    if difference == 0.0 { 0.0 } else { (difference / norm.max(floor).max(1e-30)).sqrt() }
}

fn first_difference(got: &HostTensor, expected: &HostTensor) -> String {
    if got.shape != expected.shape || got.dtype != expected.dtype {
        return format!("{}{} instead of {}{}", got.dtype, got.shape, expected.dtype, expected.shape);
    }
    let scale = (0..expected.len()).map(|i| expected.value(i).abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
    match (0..got.len()).find(|&i| {
        let (g, e) = (got.value(i), expected.value(i));
        g.is_finite() != e.is_finite() || g.is_nan() != e.is_nan() || (g - e).abs() > 1e-3 * scale
    }) {
        Some(i) => format!("element {i} of {} is {} instead of {}", got.shape, got.value(i), expected.value(i)),
        None => "many small differences".to_owned(),
    }
}

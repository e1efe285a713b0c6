//! Traces of the tiny models for tests.

use std::sync::Arc;

use tensorlogic::graph::{Binding, CacheSpec, CacheUse, Executor, Graph, KvType, NodeId, RunArgs, Segment};
use tensorlogic::tensor::HostTensor;
use tensorlogic::trace::{Request, Select, Trace, record};

use super::{Llama, fixture};

/// A llama fixture, a bucket, and ids that do not fill it.
pub struct Subject {
    pub llama: Llama,
    pub ids: Vec<i32>,
    pub bucket: usize,
    pub spec: CacheSpec,
}

impl Subject {
    /// `n` ids of the fixture's own, in the bucket that holds them.
    pub fn new(model: &str, n: usize) -> Self {
        let llama = Llama::open(&fixture(&format!("{model}.gguf")));
        let expected = super::read_expected(&fixture(&format!("{model}.safetensors")));
        let ids = expected["tokens"].as_i32().unwrap()[..n].to_vec();
        let spec = llama.cache(64, 32, 4, KvType::F32);
        Subject { llama, ids, bucket: n.next_power_of_two(), spec }
    }

    pub fn graph(&self) -> (Graph, NodeId) {
        let step = self.llama.step(self.bucket, self.spec.n_positions());
        (step.graph, step.logits)
    }

    /// Runs on a fresh cache at position 0.
    pub fn trace(&self, executor: &mut dyn Executor, select: Select) -> Trace {
        let (graph, logits) = self.graph();
        self.trace_graph(&graph, logits, executor, select)
    }

    pub fn trace_graph(&self, graph: &Graph, logits: NodeId, executor: &mut dyn Executor, select: Select) -> Trace {
        let cache = executor.new_cache(&self.spec).unwrap();
        let request = Request { graph, outputs: &[logits], caches: &[self.spec], select, layer_idx: None };
        let trace = record(&request, &self.args(CacheUse { cache, position: 0 }), executor).unwrap();
        executor.free_cache(cache);
        trace
    }

    pub fn args(&self, cache: CacheUse) -> RunArgs {
        let mut rows = self.ids.clone();
        // What fills the bucket must not show: an id that exists, unlike any of the true ones.
        rows.resize(self.bucket, 7);
        RunArgs {
            inputs: vec![Binding::Host(Arc::new(HostTensor::i32([self.bucket], rows)))],
            segments: vec![Segment { caches: vec![cache], n_tokens: self.ids.len(), ..Segment::default() }],
            ..RunArgs::default()
        }
    }
}

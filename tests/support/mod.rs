//! What several test files share: fixtures with their exact values, and a llama step built straight through the graph.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "each test file uses its part, and fails on what it does not expect"
)]

pub mod bounds;
pub mod damaged;
pub mod faulty;
pub mod matrices;
pub mod parts;
pub mod programs;
pub mod traced;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensors;
use tensorlogic::doctor::Noise;
use tensorlogic::format::{GgufWriter, ModelFile};
use tensorlogic::graph::{
    BinaryOp, CacheIdx, CacheSpec, Graph, KvType, NodeId, RopeRowsKind, RopeScaling, RopeSpec, RopeStyle, RuntimeScalar, UnaryOp, Weight,
    WeightSource,
};
use tensorlogic::tensor::{DType, HostTensor};

/// A model of `tests/fixtures`, or of the folder that `TL_REFERENCE` names.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Tensors of a safetensors file by name: f32 and i32 alone.
pub fn read_expected(path: &Path) -> HashMap<String, HostTensor> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let words = view.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let tensor = match view.dtype() {
                safetensors::Dtype::I32 => HostTensor::i32(view.shape(), words.map(|w| w as i32).collect()),
                safetensors::Dtype::F32 => HostTensor::f32(view.shape(), words.map(f32::from_bits).collect()),
                other => panic!("{name} is {other:?}"),
            };
            (name, tensor)
        })
        .collect()
}

/// Root mean square and largest absolute difference.
pub fn difference(a: &[f32], b: &[f32]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let mut sum = 0.0;
    let mut max = 0.0f64;
    for (x, y) in a.iter().zip(b) {
        let d = (f64::from(*x) - f64::from(*y)).abs();
        assert!(d.is_finite(), "{x} against {y}");
        sum += d * d;
        max = max.max(d);
    }
    ((sum / a.len() as f64).sqrt(), max)
}

struct Bytes(Vec<u8>);

impl WeightSource for Bytes {
    fn bytes(&self) -> std::io::Result<std::borrow::Cow<'_, [u8]>> {
        Ok(std::borrow::Cow::Borrowed(&self.0))
    }
}

/// A llama-architecture file, its weights made graph weights once.
pub struct Llama {
    pub file: ModelFile,
    weights: HashMap<String, Arc<Weight>>,
}

/// The step that `Llama::step` builds: the graph and the logits of every row.
pub struct Step {
    pub graph: Graph,
    pub logits: NodeId,
}

/// The numbers of a llama model that is made up.
pub struct Sizes {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub n_layers: usize,
    pub ffn: usize,
    pub vocab: usize,
}

/// A model of seeded random weights whose activations and logits stay near 1, matrices of one type.
pub fn random_llama(sizes: &Sizes, dtype: DType, seed: u32) -> Llama {
    let mut noise = Noise::new(seed);
    let file = made_up(sizes, dtype, |len, deviation| {
        let values: Vec<f32> = (0..len).map(|_| noise.normal() * deviation).collect();
        match dtype {
            DType::F16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
            DType::Quant(quant) => quant.quantize_rows(&values).unwrap(),
            _ => values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>(),
        }
    });
    Llama::from_file(file)
}

/// A model whose matrices hold what `bytes` makes for a length and a standard deviation.
pub fn made_up(sizes: &Sizes, dtype: DType, mut bytes: impl FnMut(usize, f32) -> Vec<u8>) -> ModelFile {
    let mut out = GgufWriter::new();
    let width = sizes.n_heads * sizes.head_dim;
    let kv = sizes.n_kv_heads * sizes.head_dim;
    out.set("general.architecture", "llama");
    for (key, value) in [
        ("block_count", sizes.n_layers),
        ("embedding_length", width),
        ("feed_forward_length", sizes.ffn),
        ("context_length", 4096),
        ("attention.head_count", sizes.n_heads),
        ("attention.head_count_kv", sizes.n_kv_heads),
    ] {
        out.set(&format!("llama.{key}"), value as u32);
    }
    out.set("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
    let mut matrix = |out: &mut GgufWriter, name: &str, rows: usize, cols: usize, deviation: f32| {
        out.tensor(name, [rows, cols], dtype, bytes(rows * cols, deviation));
    };
    let of = |cols: usize, gain: f32| gain / (cols as f32).sqrt();
    matrix(&mut out, "token_embd.weight", sizes.vocab, width, 1.0);
    for i in 0..sizes.n_layers {
        for norm in ["attn_norm", "ffn_norm"] {
            out.f32(&format!("blk.{i}.{norm}.weight"), [width], &vec![1.0; width]);
        }
        for (name, rows, cols, gain) in [
            ("attn_q", width, width, 1.5),
            ("attn_k", kv, width, 1.5),
            ("attn_v", kv, width, 1.0),
            ("attn_output", width, width, 1.0),
            ("ffn_gate", sizes.ffn, width, 1.0),
            ("ffn_up", sizes.ffn, width, 1.0),
            ("ffn_down", width, sizes.ffn, 2.0),
        ] {
            matrix(&mut out, &format!("blk.{i}.{name}.weight"), rows, cols, of(cols, gain));
        }
    }
    out.f32("output_norm.weight", [width], &vec![1.0; width]);
    matrix(&mut out, "output.weight", sizes.vocab, width, of(width, 2.5));
    ModelFile::from_bytes("made-up.gguf", out.to_bytes()).unwrap()
}

impl Llama {
    pub fn open(path: &Path) -> Self {
        Llama::from_file(ModelFile::open(path, false).unwrap())
    }

    pub fn from_file(file: ModelFile) -> Self {
        let weights = file
            .tensors()
            .tensors()
            .iter()
            .map(|t| {
                let bytes = Bytes(file.data(&t.name).unwrap().to_vec());
                (t.name.clone(), Arc::new(Weight::new(&t.name, t.shape.clone(), t.dtype, Arc::new(bytes))))
            })
            .collect();
        Llama { file, weights }
    }

    pub fn weight(&self, name: &str) -> Arc<Weight> {
        self.weights[name].clone()
    }

    /// The values of a weight.
    pub fn values(&self, name: &str) -> Vec<f32> {
        let weight = &self.weights[name];
        let mut values = vec![0.0; weight.shape.len()];
        weight.dtype.dequantize(&weight.source.bytes().unwrap(), &mut values);
        values
    }

    pub fn number(&self, key: &str) -> usize {
        self.file.metadata().u64(&format!("llama.{key}")).unwrap_or_else(|| panic!("llama.{key}")) as usize
    }

    /// A cache of `window` tokens in view, with chunks of up to `chunk`.
    pub fn cache(&self, window: usize, chunk: usize, sinks: usize, kv_type: KvType) -> CacheSpec {
        let head_dim = self.number("embedding_length") / self.number("attention.head_count");
        CacheSpec {
            n_layers: self.number("block_count"),
            n_kv_heads: self.number("attention.head_count_kv"),
            head_dim,
            window,
            chunk,
            sinks,
            page: 16,
            sequences: 1,
            places: 0,
            kv_type,
        }
    }

    /// `forward` over a bucket of `tokens` rows with cache 0 of so many positions.
    pub fn step(&self, tokens: usize, n_positions: usize) -> Step {
        let meta = self.file.metadata();
        let (n_heads, n_kv) = (self.number("attention.head_count"), self.number("attention.head_count_kv"));
        let d = self.number("embedding_length") / n_heads;
        let mut g = Graph::new();
        let ids = g.tokens_input(tokens);
        let position = g.runtime_scalar(RuntimeScalar::Position(CacheIdx(0)));
        let base = meta.f64("llama.rope.freq_base").unwrap_or(10000.0);
        let spec = Arc::new(RopeSpec { n_dims: d, base, scaling: RopeScaling::None, factors: Vec::new() });
        let rows = g.rope_rows(spec, RopeRowsKind::Position, position, tokens);
        let eps = meta.f64("llama.attention.layer_norm_rms_epsilon").unwrap() as f32;
        let table = g.weight(self.weights["token_embd.weight"].clone());
        let mut x = g.embedding(ids, table).unwrap();
        g.set_label(x, "embedding");
        for i in 0..self.number("block_count") {
            let named = |g: &mut Graph, x: NodeId, step: &str| {
                g.set_label(x, &format!("blk.{i}.{step}"));
                x
            };
            let project = |g: &mut Graph, x, weight: &str, name: &str| {
                let w = g.weight(self.weights[&format!("blk.{i}.{weight}.weight")].clone());
                let y = g.linear(x, w).unwrap();
                named(g, y, name)
            };
            let norm = |g: &mut Graph, x, name: &str| {
                let w = g.weight(self.weights[&format!("blk.{i}.{name}.weight")].clone());
                let eps = g.literal_f32(eps);
                let y = g.rms_norm(x, w, eps).unwrap();
                named(g, y, name)
            };
            let h = norm(&mut g, x, "attn_norm");
            let q = project(&mut g, h, "attn_q", "q");
            let k = project(&mut g, h, "attn_k", "k");
            let v = project(&mut g, h, "attn_v", "v");
            let q = g.reshape(q, [tokens, n_heads, d]).unwrap();
            let k = g.reshape(k, [tokens, n_kv, d]).unwrap();
            let v = g.reshape(v, [tokens, n_kv, d]).unwrap();
            let q = g.rope(q, rows, RopeStyle::Interleaved).unwrap();
            let q = named(&mut g, q, "q_rope");
            let k = g.rope(k, rows, RopeStyle::Interleaved).unwrap();
            let k = named(&mut g, k, "k_rope");
            let appended = g.cache_append(CacheIdx(0), i, n_positions, k, v).unwrap();
            let scale = g.literal_f32(1.0 / (d as f32).sqrt());
            let no_window = g.literal_i32(0);
            let a = g.attention(q, appended, scale, no_window).unwrap();
            let a = named(&mut g, a, "attn_out");
            let a = g.reshape(a, [tokens, n_heads * d]).unwrap();
            let a = project(&mut g, a, "attn_output", "attn_proj");
            let y = g.binary(BinaryOp::Add, x, a).unwrap();
            let y = named(&mut g, y, "ffn_inp");
            let h = norm(&mut g, y, "ffn_norm");
            let gate = project(&mut g, h, "ffn_gate", "gate");
            let up = project(&mut g, h, "ffn_up", "up");
            let gate = g.unary(UnaryOp::Silu, gate).unwrap();
            let gate = named(&mut g, gate, "silu_gate");
            let gated = g.binary(BinaryOp::Mul, gate, up).unwrap();
            let gated = named(&mut g, gated, "gated");
            let down = project(&mut g, gated, "ffn_down", "ffn_out");
            x = g.binary(BinaryOp::Add, y, down).unwrap();
            named(&mut g, x, "output");
        }
        let w = g.weight(self.weights["output_norm.weight"].clone());
        let eps = g.literal_f32(eps);
        let x = g.rms_norm(x, w, eps).unwrap();
        g.set_label(x, "final_norm");
        let output = self.weights.get("output.weight").unwrap_or(&self.weights["token_embd.weight"]);
        let output = g.weight(output.clone());
        let logits = g.linear(x, output).unwrap();
        g.set_label(logits, "logits");
        Step { graph: g, logits }
    }
}

/// Feeds `ids` in one run of an executor at `position` and returns the logits of every row.
pub fn run_logits(
    executor: &mut dyn tensorlogic::graph::Executor,
    llama: &Llama,
    cache: tensorlogic::graph::CacheId,
    spec: &CacheSpec,
    position: usize,
    ids: &[i32],
) -> Vec<f32> {
    use tensorlogic::graph::{Binding, CacheUse, CompileOptions, RunArgs, Segment};
    let bucket = ids.len().next_power_of_two();
    let step = llama.step(bucket, spec.n_positions());
    let options = CompileOptions { fuse: true, caches: vec![*spec] };
    let program = executor.compile(&step.graph, &[step.logits], &options).unwrap();
    let mut rows = ids.to_vec();
    rows.resize(bucket, 0);
    let args = RunArgs {
        inputs: vec![Binding::Host(Arc::new(HostTensor::i32([bucket], rows)))],
        segments: vec![Segment { caches: vec![CacheUse { cache, position }], n_tokens: ids.len(), ..Segment::default() }],
        ..RunArgs::default()
    };
    let outputs = executor.run(program, &args).unwrap();
    let logits = executor.read(&outputs[0]).unwrap();
    let vocab = logits.shape.last_dim();
    logits.as_f32().unwrap()[..ids.len() * vocab].to_vec()
}

/// Feeds `ids` in chunks to an empty cache and returns all logits.
pub fn all_logits(executor: &mut dyn tensorlogic::graph::Executor, llama: &Llama, spec: &CacheSpec, ids: &[i32], chunk: usize) -> Vec<f32> {
    let cache = executor.new_cache(spec).unwrap();
    let logits = ids.chunks(chunk).enumerate().flat_map(|(i, ids)| run_logits(executor, llama, cache, spec, i * chunk, ids)).collect();
    executor.free_cache(cache);
    logits
}

/// A backend under test: `open` takes whether it is to compute precisely.
pub struct Backend {
    pub name: &'static str,
    pub open: fn(bool) -> Box<dyn tensorlogic::graph::Executor>,
}

/// The backends that this machine can test: the CPU, and the GPU of `TL_REQUIRE_GPU`'s machine, which may be a software one.
pub fn backends() -> Vec<Backend> {
    use tensorlogic::cpu::{CpuExecutor, CpuOptions};
    let mut backends =
        vec![Backend { name: "cpu", open: |precise| Box::new(CpuExecutor::new(CpuOptions { precise, ..CpuOptions::default() })) }];
    if gpu_is_there() {
        backends.push(Backend { name: "gpu", open: |precise| Box::new(open_gpu(precise)) });
    }
    backends
}

/// What the engine is asked for on each backend of this machine, in the same order as `backends`.
pub fn device_requests(precise: bool) -> Vec<tensorlogic::engine::DeviceRequest> {
    use tensorlogic::engine::{BackendChoice, DeviceRequest};
    let of = |backend| DeviceRequest { backend, precise, ..DeviceRequest::default() };
    let mut requests = vec![of(BackendChoice::Cpu)];
    if gpu_is_there() {
        requests.push(of(native_gpu()));
    }
    requests
}

/// The GPU interface of this system. Where it is named, a software adapter counts.
fn native_gpu() -> tensorlogic::engine::BackendChoice {
    use tensorlogic::engine::BackendChoice;
    if cfg!(target_os = "macos") {
        BackendChoice::Metal
    } else if cfg!(windows) {
        BackendChoice::Dx12
    } else {
        BackendChoice::Vulkan
    }
}

/// Opens the GPU of this machine, with whatever the environment asks of it.
pub fn open_gpu(precise: bool) -> tensorlogic::gpu::GpuExecutor {
    use tensorlogic::gpu::{GpuExecutor, GpuOptions};
    GpuExecutor::new(&GpuOptions { precise, allow_software: true, ..GpuOptions::from_env() }).unwrap()
}

/// Whether there is an adapter. Under `TL_REQUIRE_GPU=1` its absence is a failure.
pub fn gpu_is_there() -> bool {
    use tensorlogic::gpu::{GpuExecutor, GpuOptions};
    match GpuExecutor::new(&GpuOptions { allow_software: true, ..GpuOptions::from_env() }) {
        Ok(_) => true,
        Err(error) => {
            let required = std::env::var_os("TL_REQUIRE_GPU").is_some_and(|v| v != "0");
            assert!(!required, "TL_REQUIRE_GPU is set: {error}");
            eprintln!("skipped: {error}");
            false
        }
    }
}

//! The programs of `src/lang/std`, traced and run by the definition of the ops.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensors;
use tensorlogic::format::{Metadata, ModelFile};
use tensorlogic::graph::{
    Binding, CacheSpec, CacheUse, CompileOptions, Executor, KvType, Op, RunArgs, RuntimeScalar, ScalarSource, Segment, Weight,
};
use tensorlogic::lang::{Architectures, ModelProgram, ModelSource, StepOutput, TraceSpec};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::tensor::HostTensor;

struct Model {
    metadata: Metadata,
    weights: HashMap<String, Arc<Weight>>,
}

impl ModelSource for Model {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn weight(&self, name: &str) -> Option<Arc<Weight>> {
        self.weights.get(name).cloned()
    }

    fn weight_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.weights.keys().map(String::as_str))
    }
}

impl Model {
    fn open(name: &str) -> Model {
        let file = ModelFile::open(&fixture(&format!("{name}.gguf")), false).unwrap();
        let weights = file.tensors().tensors().iter().map(|t| {
            let bytes = file.data(&t.name).unwrap().to_vec();
            (t.name.clone(), Arc::new(Weight::new(&t.name, t.shape.clone(), t.dtype, Arc::new(bytes))))
        });
        Model { weights: weights.collect(), metadata: file.metadata().clone() }
    }

    /// The same numbers under another architecture's name.
    fn renamed(mut self, architecture: &str) -> Model {
        let pairs: Vec<_> = self.metadata.iter().map(|(k, v)| (k.replace("llama.", &format!("{architecture}.")), v.clone())).collect();
        for (key, value) in pairs {
            self.metadata.set(key, value);
        }
        self.metadata.set("general.architecture", architecture);
        self
    }
}

const WINDOW: usize = 64;

fn spec(bucket: usize) -> TraceSpec {
    TraceSpec { bucket, n_positions: WINDOW, window: WINDOW, output: StepOutput::Logits, position: 0 }
}

fn load(model: Model) -> ModelProgram {
    let architecture = model.metadata.str("general.architecture").unwrap().to_owned();
    let (name, text) = Architectures::find(&architecture).unwrap();
    ModelProgram::load(&name, text, Arc::new(model)).unwrap_or_else(|e| panic!("{e}"))
}

/// The logits of all tokens, fed in chunks.
fn logits(program: &mut ModelProgram, tokens: &[i32], chunk: usize) -> Vec<f32> {
    let mut executor = ReferenceExecutor::new();
    let mut cache = None;
    let mut out = Vec::new();
    for (i, part) in tokens.chunks(chunk).enumerate() {
        let traced = program.trace_forward(&spec(part.len())).unwrap_or_else(|e| panic!("{e}"));
        let shape = traced.cache.unwrap();
        let spec = CacheSpec {
            n_layers: shape.n_layers,
            n_kv_heads: shape.n_kv_heads,
            head_dim: shape.head_dim,
            window: WINDOW,
            chunk: WINDOW,
            sinks: 4,
            page: WINDOW,
            sequences: 1,
            places: 0,
            kv_type: KvType::F32,
        };
        let cache = *cache.get_or_insert_with(|| executor.new_cache(&spec).unwrap());
        let (graph, outputs) = traced.graph.subgraph(&[traced.output]);
        let compiled = executor.compile(&graph, &outputs, &CompileOptions { fuse: true, caches: vec![spec] }).unwrap();
        let args = RunArgs {
            inputs: vec![Binding::Host(Arc::new(HostTensor::i32([part.len()], part.to_vec())))],
            literals: graph.literals().to_vec(),
            segments: vec![Segment { caches: vec![CacheUse { cache, position: i * chunk }], n_tokens: part.len(), ..Segment::default() }],
        };
        let result = executor.run(compiled, &args).unwrap();
        out.extend(executor.read(&result[0]).unwrap().as_f32().unwrap());
    }
    out
}

fn exact(name: &str) -> (Vec<i32>, Vec<f32>) {
    let file = std::fs::read(fixture(&format!("{name}.safetensors"))).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let words = |name: &str| tensors.tensor(name).unwrap().data().chunks_exact(4).map(|b| b.try_into().unwrap()).collect::<Vec<[u8; 4]>>();
    (words("tokens").into_iter().map(i32::from_le_bytes).collect(), words("exact.logits").into_iter().map(f32::from_le_bytes).collect())
}

fn rms(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    (a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64).sqrt()
}

#[test]
fn llama_gives_the_exact_logits() {
    for name in ["tiny-f32", "tiny-q4_0", "tiny-mixed"] {
        let (tokens, expected) = exact(name);
        let mut program = load(Model::open(name));
        for chunk in [tokens.len().min(WINDOW), 5, 1] {
            let found = logits(&mut program, &tokens[..tokens.len().min(WINDOW)], chunk);
            let error = rms(&found, &expected[..found.len()]);
            assert!(error < 2e-5, "{name} in chunks of {chunk}: rms {error:e}");
        }
    }
}

#[test]
fn every_step_of_the_paper_is_named() {
    let mut program = load(Model::open("tiny-f32"));
    let traced = program.trace_forward(&spec(2)).unwrap();
    let labels: Vec<String> = traced.graph.nodes().filter_map(|(_, n)| n.label.as_ref().map(|l| l.to_string())).collect();
    let steps = [
        "attn_norm",
        "q",
        "k",
        "v",
        "q_rope",
        "k_rope",
        "attn_out",
        "attn_proj",
        "ffn_inp",
        "ffn_norm",
        "gate",
        "up",
        "silu_gate",
        "gated",
        "ffn_out",
        "output",
    ];
    for layer in 0..traced.cache.unwrap().n_layers {
        for step in steps {
            let name = format!("blk.{layer}.{step}");
            assert_eq!(labels.iter().filter(|l| **l == name).count(), 1, "{name} among {labels:?}");
        }
    }
    for name in ["embedding", "final_norm", "logits"] {
        assert!(labels.iter().any(|l| l == name), "{name} among {labels:?}");
    }
    let named = traced.graph.nodes().find(|(_, n)| n.label.as_deref() == Some("blk.0.gate")).unwrap().1;
    let span = program.span_of(named.origin).unwrap();
    assert_eq!(program.sources().text(span), "project(ffn_norm, w.ffn_gate)");
}

#[test]
fn a_trace_does_not_depend_on_the_position() {
    let mut program = load(Model::open("tiny-f32"));
    let a = program.trace_forward(&spec(1)).unwrap();
    let b = program.trace_forward(&TraceSpec { position: 17, ..spec(1) }).unwrap();
    assert_eq!(a.pinned, None);
    let key = |t: &tensorlogic::lang::Traced| {
        let (graph, outputs) = t.graph.subgraph(&[t.output]);
        graph.key(&outputs)
    };
    assert_eq!(key(&a), key(&b));
    let position = ScalarSource::Runtime(RuntimeScalar::Position(tensorlogic::graph::CacheIdx(0)));
    assert_eq!(a.graph.nodes().filter(|(_, n)| n.op == Op::Scalar(position)).count(), 1);
}

#[test]
fn sampling_ends_the_graph_of_a_step() {
    let mut program = load(Model::open("tiny-f32"));
    let traced = program.trace_forward(&TraceSpec { output: StepOutput::Drawn, ..spec(4) }).unwrap();
    let node = traced.graph.node(traced.output);
    assert!(matches!(node.op, Op::Sample { history: Some(_) }));
    assert!(matches!(traced.graph.node(node.inputs[0]).op, Op::SelectRow));
}

#[test]
fn other_architectures_are_a_few_changed_lines() {
    let mut qwen2 = load(Model::open("tiny-f32").renamed("qwen2"));
    assert!(qwen2.trace_forward(&spec(3)).is_ok());
    let llama = Architectures::find("llama").unwrap().1;
    for name in ["qwen2", "qwen3"] {
        let other = Architectures::find(name).unwrap().1;
        let changed = other.lines().filter(|line| !llama.lines().any(|l| l == *line)).count();
        assert!((2..=12).contains(&changed), "{name} changes {changed} lines");
    }
    let error = Architectures::find("mamba").unwrap_err();
    let known: Vec<&str> = Architectures::names().collect();
    assert_eq!(error, format!("architecture `mamba` is unknown: known are {}; give its program with --arch FILE.tl", known.join(", ")));
}

#[test]
fn a_program_is_read_in_a_minute() {
    for name in Architectures::names() {
        let (file, text) = Architectures::find(name).unwrap();
        assert!(text.lines().count() <= 60, "{file} has {} lines", text.lines().count());
    }
}

#[test]
fn what_a_file_lacks_is_named_with_its_place() {
    let mut model = Model::open("tiny-f32");
    model.weights.remove("blk.1.ffn_up.weight");
    let mut program = load(model);
    let error = program.trace_forward(&spec(1)).err().unwrap().to_string();
    assert!(error.contains("the model has no tensor `blk.1.ffn_up.weight`") && error.contains("llama.tl:"), "{error}");

    let mut model = Model::open("tiny-f32");
    let mut pruned = Metadata::new();
    for (key, value) in model.metadata.iter().filter(|(k, _)| *k != "llama.attention.layer_norm_rms_epsilon") {
        pruned.set(key, value.clone());
    }
    model.metadata = pruned;
    let (name, text) = Architectures::find("llama").unwrap();
    let error = ModelProgram::load(&name, text, Arc::new(model)).err().unwrap().to_string();
    assert!(error.contains("no `llama.attention.layer_norm_rms_epsilon`"), "{error}");

    let mut model = Model::open("tiny-f32");
    model.metadata.set("llama.attention.head_count", 3u32);
    model.metadata.set("llama.attention.head_count_kv", 3u32);
    let (name, text) = Architectures::find("llama").unwrap();
    let error = match ModelProgram::load(&name, text, Arc::new(model)) {
        Ok(mut program) => program.trace_forward(&spec(1)).err().unwrap().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("3 heads") || error.contains("rotation takes an even number"), "{error}");
}

#[test]
fn a_branch_on_the_position_pins_the_trace() {
    let text = "fn forward(tokens: int32[T], cache: Cache) -> float[T, V] {
        let x = embedding(tokens, model.token_embd.weight)
        if cache.position > 4 { x * 2.0 } else { x }
    }";
    let mut program = ModelProgram::load("pinned.tl", text, Arc::new(Model::open("tiny-f32"))).unwrap();
    let early = program.trace_forward(&spec(1)).unwrap();
    let late = program.trace_forward(&TraceSpec { position: 9, ..spec(1) }).unwrap();
    assert_eq!((early.pinned, late.pinned), (Some(0), Some(9)));
    let ends_in_product = |t: &tensorlogic::lang::Traced| matches!(t.graph.node(t.output).op, Op::Binary(_));
    assert!(!ends_in_product(&early) && ends_in_product(&late));
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn a_folder_may_say_how_heads_are_paired() {
    let (tokens, expected) = exact("tiny-f32");
    let mut model = Model::open("tiny-f32").renamed("qwen2");
    model.metadata.set("tl.rope_order", "interleaved");
    let found = logits(&mut load(model), &tokens[..9], 9);
    assert!(rms(&found, &expected[..found.len()]) < 2e-5, "qwen2 without biases, paired as llama is, is llama");
    let found = logits(&mut load(Model::open("tiny-f32").renamed("qwen2")), &tokens[..9], 9);
    assert!(rms(&found, &expected[..found.len()]) > 1e-2, "the other pairing gives other logits");
}

#[test]
fn biases_and_norms_of_heads_are_used() {
    let plain = Model::open("tiny-f32").renamed("qwen2");
    let (tokens, _) = exact("tiny-f32");
    let before = logits(&mut load(plain), &tokens[..5], 5);
    let with_bias = |value: f32| {
        let mut model = Model::open("tiny-f32").renamed("qwen2");
        let n = model.weights["blk.0.attn_q.weight"].shape[0];
        let bytes: Vec<u8> = std::iter::repeat_n(value, n).flat_map(f32::to_le_bytes).collect();
        let bias = Weight::new("blk.0.attn_q.bias", [n], tensorlogic::tensor::DType::F32, Arc::new(bytes));
        model.weights.insert("blk.0.attn_q.bias".into(), Arc::new(bias));
        logits(&mut load(model), &tokens[..5], 5)
    };
    assert!(rms(&before, &with_bias(0.0)) < 1e-6);
    assert!(rms(&before, &with_bias(2.0)) > 1e-3);

    let with_norms = |scale: f32| {
        let mut model = Model::open("tiny-f32").renamed("qwen3");
        let heads = model.metadata.u64("qwen3.attention.head_count").unwrap() as usize;
        let n = model.weights["blk.0.attn_q.weight"].shape[0] / heads;
        let layers = model.metadata.u64("qwen3.block_count").unwrap();
        for name in (0..layers).flat_map(|i| ["q", "k"].map(|c| format!("blk.{i}.attn_{c}_norm.weight"))) {
            let bytes: Vec<u8> = std::iter::repeat_n(scale, n).flat_map(f32::to_le_bytes).collect();
            model.weights.insert(name.clone(), Arc::new(Weight::new(name, [n], tensorlogic::tensor::DType::F32, Arc::new(bytes))));
        }
        logits(&mut load(model), &tokens[..5], 5)
    };
    assert!(rms(&with_norms(1.0), &with_norms(0.5)) > 1e-3);
}

#[test]
fn an_endless_forward_is_an_error() {
    let text = "fn forward(tokens: int32[T], cache: Cache) { let x = tokens\n loop { x = x + 1 } }";
    let mut program = ModelProgram::load("endless.tl", text, Arc::new(Model::open("tiny-f32"))).unwrap();
    let error = program.trace_forward(&spec(1)).err().unwrap().to_string();
    assert!(error.contains("more than 1048576 steps"), "{error}");
}

//! Many windows of tokens through the loaded model: nothing is made after warm-up, and the logits stay those of the definition.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use support::{Llama, difference, fixture, read_expected, run_logits};
use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel, ModelSteps};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::{Binding, CacheId, CacheSpec, CacheUse, CompileOptions, Counters, Executor, KvType, ProgramId, RunArgs, Sampling};
use tensorlogic::lang::TraceSpec;
use tensorlogic::model::Generator;
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::tensor::HostTensor;
use tensorlogic::text::TokenId;

const WINDOW: usize = 256;
const SINKS: usize = 4;
const PROMPT: [u32; 6] = [1, 267, 270, 9, 289, 12];

fn load(name: &str, window: usize, precise: bool) -> LoadedModel {
    let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, precise, ..DeviceRequest::default() }).unwrap();
    let request = LoadRequest { window: Some(window), sinks: Some(SINKS), kv_type: KvType::F32, ..LoadRequest::default() };
    LoadedModel::from_file(ModelFile::open(&fixture(name), false).unwrap(), &backend, &request).unwrap()
}

fn ids(values: &[u32]) -> Vec<TokenId> {
    values.iter().map(|&id| TokenId(id)).collect()
}

/// Generates `n` tokens; the ids with the counters after each.
fn generate(generator: &mut Generator<ModelSteps>, prompt: &[u32], sampling: Sampling, n: usize) -> Vec<u32> {
    let mut given = Vec::new();
    generator
        .generate(
            &ids(prompt),
            sampling,
            n,
            |_| false,
            |_| ControlFlow::Continue(()),
            |id| {
                given.push(id.0);
                ControlFlow::Continue(())
            },
        )
        .unwrap();
    assert_eq!(given.len(), n);
    given
}

/// The counters without what each step adds to.
fn made(counters: Counters) -> Counters {
    Counters { dispatches: 0, submits: 0, steps: 0, ..counters }
}

#[test]
fn four_windows_of_tokens_make_nothing_new() {
    for name in ["tiny-f32.gguf", "tiny-q4_0.gguf"] {
        let model = load(name, WINDOW, false);
        let mut generator = model.generator(0).unwrap();
        let seeded =
            Sampling { temperature: 0.9, top_k: 40, top_p: 0.95, seed: 3, repeat_penalty: 1.1, repeat_last_n: 64, ..Sampling::default() };
        generate(&mut generator, &PROMPT, seeded, 8);
        let (warm, traces) = (made(generator.counters()), generator.programs_mut().n_traces());
        assert!(warm.programs >= 2 && warm.buffers > 0 && traces >= 2, "{warm:?}, {traces} traces");
        let steps = generator.counters().steps;
        generate(&mut generator, &[5], seeded, 4 * WINDOW);
        assert_eq!(made(generator.counters()), warm, "{name}");
        assert_eq!(generator.programs_mut().n_traces(), traces, "{name}");
        assert!(generator.counters().steps > steps, "the steps were counted");
        assert!(generator.context().position() > generator.context().spec().slots, "every slot of the ring was written again");
        // A turn of a length that was not seen makes its program once. It is shorter than a chunk, whose size follows what chunks take.
        generate(&mut generator, &[7; 100], seeded, 4);
        let (warm, traces) = (made(generator.counters()), generator.programs_mut().n_traces());
        generate(&mut generator, &[7; 90], seeded, 4);
        assert_eq!((made(generator.counters()), generator.programs_mut().n_traces()), (warm, traces), "{name}, a turn");
    }
}

/// The logits of a model's own program, fed one run at a time.
struct Logits {
    model: LoadedModel,
    spec: CacheSpec,
    cache: CacheId,
    position: usize,
}

impl Logits {
    fn new(model: LoadedModel) -> Logits {
        let spec = model.cache_spec(0, 512).unwrap();
        let cache = model.executor.borrow_mut().new_cache(&spec).unwrap();
        Logits { model, spec, cache, position: 0 }
    }

    fn program(&self, bucket: usize) -> ProgramId {
        let spec = TraceSpec { bucket, slots: self.spec.slots, last_only: true, sample: false, position: 0 };
        let traced = self.model.trace(&spec).unwrap();
        assert_eq!(traced.pinned, None);
        let options = CompileOptions { fuse: true, caches: vec![self.spec] };
        self.model.executor.borrow_mut().compile(&traced.graph, &[traced.output], &options).unwrap()
    }

    /// Feeds ids and returns the logits after the last one.
    fn feed(&mut self, program: ProgramId, bucket: usize, ids: &[u32]) -> Vec<f32> {
        let mut rows: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        rows.resize(bucket, 0);
        let args = RunArgs {
            inputs: vec![Binding::Host(Arc::new(HostTensor::i32([bucket], rows)))],
            caches: vec![CacheUse { cache: self.cache, position: self.position }],
            n_tokens: ids.len(),
            ..RunArgs::default()
        };
        self.position += ids.len();
        let mut executor = self.model.executor.borrow_mut();
        let outputs = executor.run(program, &args).unwrap();
        executor.read(&outputs[0]).unwrap().as_f32().unwrap().to_vec()
    }
}

/// Root mean square of the difference over that of the values.
fn relative(ours: &[f32], exact: &[f32]) -> f64 {
    difference(ours, exact).0 / difference(exact, &vec![0.0; exact.len()]).0
}

/// Ids that a model draws, so that the context is one that it meets.
fn drawn(name: &str, n: usize) -> Vec<u32> {
    let model = load(name, WINDOW, true);
    let mut generator = model.generator(0).unwrap();
    let mut all = PROMPT.to_vec();
    all.extend(generate(&mut generator, &PROMPT, Sampling { temperature: 1.2, seed: 9, ..Sampling::default() }, n - PROMPT.len()));
    all
}

#[test]
fn the_logits_of_four_windows_are_those_of_the_definition() {
    let name = "tiny-f32.gguf";
    let ids = drawn(name, 4 * WINDOW);
    let mut ours = Logits::new(load(name, WINDOW, true));
    let step = ours.program(1);
    // The definition on a graph of the tests' own.
    let llama = Llama::open(&fixture(name));
    let mut reference = ReferenceExecutor::new();
    let cache = reference.new_cache(&ours.spec).unwrap();
    let spec = ours.spec;
    let feed_reference = |reference: &mut ReferenceExecutor, position: usize, ids: &[u32]| {
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        run_logits(reference, &llama, cache, &spec, position, &ids)
    };
    let mut checked = 0;
    let mut fed = 0;
    for position in 0..ids.len() {
        let logits = ours.feed(step, 1, &ids[position..=position]);
        if position % 97 == 0 || position + 1 == ids.len() {
            let exact = feed_reference(&mut reference, fed, &ids[fed..=position]);
            fed = position + 1;
            let error = relative(&logits, &exact[exact.len() - logits.len()..]);
            assert!(error < 1e-3, "position {position}: {error:.1e}");
            checked += 1;
        }
    }
    assert!(checked >= 11 && ours.position > ours.spec.slots);
    // A turn of 200 tokens in one run, after the ring has gone round.
    let turn: Vec<u32> = ids[100..300].to_vec();
    let prefill = ours.program(256);
    let logits = ours.feed(prefill, 256, &turn);
    let exact = feed_reference(&mut reference, fed, &turn);
    let error = relative(&logits, &exact[exact.len() - logits.len()..]);
    assert!(error < 1e-3, "a turn after the wrap: {error:.1e}");
}

/// Against the logits that an independent program computed in f64 for a window of 24 with 4 sinks.
#[test]
fn a_short_window_agrees_with_its_exact_logits() {
    let expected = read_expected(&fixture("tiny-f32-w24-s4.safetensors"));
    let tokens: Vec<u32> = expected["tokens"].as_i32().unwrap().iter().map(|&id| id as u32).collect();
    let positions = expected["positions"].as_i32().unwrap();
    let exact = expected["exact.logits"].as_f32().unwrap();
    let vocab = exact.len() / positions.len();
    let mut ours = Logits::new(load("tiny-f32.gguf", 24, true));
    let step = ours.program(1);
    for (position, &id) in tokens.iter().enumerate() {
        let logits = ours.feed(step, 1, &[id]);
        if let Some(row) = positions.iter().position(|&p| p as usize == position) {
            let error = relative(&logits, &exact[row * vocab..][..vocab]);
            assert!(error < 1e-4, "position {position}: {error:.1e}");
        }
    }
}

/// Bit for bit: on a fresh backend each time, and after another prompt and another model on the same one.
#[test]
fn logits_are_the_same_bits_whatever_ran_before() {
    for name in ["tiny-f32.gguf", "tiny-q4_0.gguf", "tiny-mixed.gguf"] {
        let run = |logits: &mut Logits| -> Vec<u32> {
            let (prefill, step) = (logits.program(8), logits.program(1));
            let mut all = logits.feed(prefill, 8, &PROMPT);
            for id in [4, 300, 17] {
                all.extend(logits.feed(step, 1, &[id]));
            }
            all.iter().map(|v| v.to_bits()).collect()
        };
        let first = run(&mut Logits::new(load(name, 64, false)));
        for _ in 0..2 {
            assert_eq!(run(&mut Logits::new(load(name, 64, false))), first, "{name}");
        }
        let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap();
        let request = LoadRequest { window: Some(64), sinks: Some(SINKS), kv_type: KvType::F32, ..LoadRequest::default() };
        let open = |name: &str| LoadedModel::from_file(ModelFile::open(&fixture(name), false).unwrap(), &backend, &request).unwrap();
        for other in ["tiny-mixed.gguf", "tiny-f32.gguf"] {
            let mut logits = Logits::new(open(other));
            let step = logits.program(1);
            (0..70).for_each(|id| drop(logits.feed(step, 1, &[id])));
        }
        let mut model = Logits::new(open(name));
        let step = model.program(1);
        (0..70).for_each(|id| drop(model.feed(step, 1, &[id])));
        model.cache = model.model.executor.borrow_mut().new_cache(&model.spec).unwrap();
        model.position = 0;
        assert_eq!(run(&mut model), first, "{name} after other work");
    }
}

/// A chunk's size follows how long chunks take, so where a prompt is cut must not show. No run that the generate loop makes of a longer prompt
/// has fewer than 16 tokens.
#[test]
fn logits_are_the_same_bits_however_a_prompt_is_cut() {
    for name in ["tiny-f32.gguf", "tiny-q4_0.gguf", "tiny-mixed.gguf"] {
        let ids = drawn(name, 140);
        let run = |cuts: &[usize]| -> Vec<u32> {
            let mut logits = Logits::new(load(name, 256, false));
            let (mut fed, mut last) = (0, Vec::new());
            for &n in cuts {
                let bucket = n.next_power_of_two();
                let program = logits.program(bucket);
                last = logits.feed(program, bucket, &ids[fed..fed + n]);
                fed += n;
            }
            assert_eq!(fed, ids.len());
            last.iter().map(|v| v.to_bits()).collect()
        };
        let whole = run(&[140]);
        for cuts in [&[124, 16][..], &[64, 60, 16], &[32, 32, 32, 44], &[16, 16, 16, 16, 16, 16, 16, 28]] {
            assert!(run(cuts) == whole, "{name} cut into {cuts:?}");
        }
    }
}

#[test]
fn drawn_ids_are_the_same_whatever_ran_before() {
    let greedy = Sampling::default();
    let seeded = Sampling { temperature: 1.0, seed: 77, top_k: 50, ..Sampling::default() };
    for sampling in [greedy, seeded] {
        let model = load("tiny-q4_0.gguf", 64, false);
        let first = generate(&mut model.generator(0).unwrap(), &PROMPT, sampling, 200);
        for _ in 0..2 {
            assert_eq!(generate(&mut load("tiny-q4_0.gguf", 64, false).generator(0).unwrap(), &PROMPT, sampling, 200), first);
        }
        let mut generator = model.generator(0).unwrap();
        generate(&mut generator, &[3, 2, 1], seeded, 90);
        generator.context_mut().clear();
        assert_eq!(generate(&mut generator, &PROMPT, sampling, 200), first, "after another prompt in the same cache");
    }
}

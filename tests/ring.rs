//! Many windows of tokens through the loaded model: nothing is made after warm-up, and the logits stay those of the definition.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use support::{device_requests, difference, fixture, read_expected};
use tensorlogic::engine::{Backend, DeviceRequest, LoadRequest, LoadedModel, ModelSteps};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::{Binding, CacheId, CacheSpec, CacheUse, CompileOptions, Counters, KvType, ProgramId, RunArgs, Sampling, Segment};
use tensorlogic::lang::{StepOutput, TraceSpec};
use tensorlogic::model::Generator;
use tensorlogic::tensor::HostTensor;
use tensorlogic::text::TokenId;

const WINDOW: usize = 256;
const SINKS: usize = 4;
const PROMPT: [u32; 6] = [1, 267, 270, 9, 289, 12];

fn open(request: &DeviceRequest, name: &str, window: usize) -> LoadedModel {
    open_on(&Backend::open(request).unwrap(), name, window)
}

fn open_on(backend: &Backend, name: &str, window: usize) -> LoadedModel {
    let request = LoadRequest { window: Some(window), sinks: Some(SINKS), kv_type: KvType::F32, ..LoadRequest::default() };
    LoadedModel::from_file(ModelFile::open(&fixture(name), false).unwrap(), backend, &request).unwrap()
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

/// The counters without what each step adds to, and without command buffers, which are recorded anew as the filling cache takes more parts.
fn made(counters: Counters) -> Counters {
    Counters { dispatches: 0, submits: 0, steps: 0, command_buffers: 0, ..counters }
}

#[test]
fn six_windows_of_tokens_make_nothing_new() {
    for request in device_requests(false) {
        for name in ["tiny-f32.gguf", "tiny-q4_0.gguf"] {
            let model = open(&request, name, WINDOW);
            let mut generator = model.generator(0).unwrap();
            let seeded = Sampling {
                temperature: 0.9,
                top_k: 40,
                top_p: 0.95,
                seed: 3,
                repeat_penalty: 1.1,
                repeat_last_n: 64,
                ..Sampling::default()
            };
            generate(&mut generator, &PROMPT, seeded, 8);
            // A prompt of one token comes from the host, to the program whose tokens else are on the device already.
            generate(&mut generator, &[5], seeded, 8);
            let (warm, traces) = (made(generator.counters()), generator.programs_mut().n_traces());
            assert!(warm.programs >= 2 && warm.buffers > 0 && traces >= 2, "{warm:?}, {traces} traces");
            let steps = generator.counters().steps;
            generate(&mut generator, &[5], seeded, 6 * WINDOW);
            assert_eq!(made(generator.counters()), warm, "{name} on {:?}", request.backend);
            // One for each pair of buffers that take turns, and each number of parts; a thousand if each step made its own.
            let recorded = generator.counters().command_buffers;
            assert!(recorded <= 64, "{recorded} command buffers, {name} on {:?}", request.backend);
            assert_eq!(generator.programs_mut().n_traces(), traces, "{name} on {:?}", request.backend);
            assert!(generator.counters().steps > steps, "the steps were counted");
            assert!(generator.context().position() > generator.context().spec().n_positions(), "every page was written again");
            // A turn of a length that was not seen makes its program once. It is shorter than a chunk, whose size follows what chunks take.
            // Which of the few output buffers a turn begins with follows from the turns before, so that some turns pass before every pair
            // of buffers was bound.
            let n = generator.chunk().min(100);
            (0..6).for_each(|_| drop(generate(&mut generator, &vec![7; n], seeded, 4)));
            let (warm, traces) = (made(generator.counters()), generator.programs_mut().n_traces());
            for _ in 0..4 {
                generate(&mut generator, &vec![7; n - 1], seeded, 5);
                let now = (made(generator.counters()), generator.programs_mut().n_traces());
                assert_eq!(now, (warm, traces), "{name} on {:?}, a turn", request.backend);
            }
        }
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
        let cache = model.executor.lock().new_cache(&spec).unwrap();
        Logits { model, spec, cache, position: 0 }
    }

    fn program(&self, bucket: usize) -> ProgramId {
        logits_program(&self.model, &self.spec, bucket, true)
    }

    /// Feeds ids and returns the logits after the last one.
    fn feed(&mut self, program: ProgramId, bucket: usize, ids: &[u32]) -> Vec<f32> {
        self.position += ids.len();
        logits_at(&self.model, program, CacheUse { cache: self.cache, position: self.position - ids.len() }, bucket, ids)
    }
}

/// A model's own step that gives logits: of the last token, or of each.
fn logits_program(model: &LoadedModel, cache: &CacheSpec, bucket: usize, last_only: bool) -> ProgramId {
    let output = if last_only { StepOutput::LastLogits } else { StepOutput::Logits };
    let traced = model.trace(&TraceSpec { bucket, n_positions: cache.n_positions(), window: cache.window, output, position: 0 }).unwrap();
    assert_eq!(traced.pinned, None);
    let options = CompileOptions { fuse: true, caches: vec![*cache] };
    model.executor.lock().compile(&traced.graph, &[traced.output], &options).unwrap()
}

fn logits_at(model: &LoadedModel, program: ProgramId, at: CacheUse, bucket: usize, ids: &[u32]) -> Vec<f32> {
    let mut rows: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    rows.resize(bucket, 0);
    let inputs = vec![Binding::Host(Arc::new(HostTensor::i32([bucket], rows)))];
    let args =
        RunArgs { inputs, segments: vec![Segment { caches: vec![at], n_tokens: ids.len(), ..Segment::default() }], ..RunArgs::default() };
    let mut executor = model.executor.lock();
    let outputs = executor.run(program, &args).unwrap();
    executor.read(&outputs[0]).unwrap().as_f32().unwrap().to_vec()
}

/// Root mean square of the difference over that of the values.
fn relative(ours: &[f32], exact: &[f32]) -> f64 {
    difference(ours, exact).0 / difference(exact, &vec![0.0; exact.len()]).0
}

/// The logits of a conversation on the cache of one generator, beside those that an independent program computed in f64.
struct Talk {
    model: LoadedModel,
    generator: Generator<ModelSteps>,
    tokens: Vec<u32>,
    exact: HashMap<usize, Vec<f32>>,
    checked: usize,
}

impl Talk {
    fn open(request: &DeviceRequest) -> Talk {
        let expected = read_expected(&fixture("tiny-f32-w256-s4.safetensors"));
        let (positions, exact) = (expected["positions"].as_i32().unwrap(), expected["exact.logits"].as_f32().unwrap());
        let rows = positions.iter().map(|&p| p as usize).zip(exact.chunks_exact(exact.len() / positions.len()).map(<[f32]>::to_vec));
        let model = open(request, "tiny-f32.gguf", WINDOW);
        let tokens = expected["tokens"].as_i32().unwrap().iter().map(|&id| id as u32).collect();
        Talk { generator: model.generator(0).unwrap(), model, tokens, exact: rows.collect(), checked: 0 }
    }

    /// Feeds the next `n` tokens in one run and compares the logits of those positions that have exact ones.
    fn feed(&mut self, n: usize) {
        let (spec, position, bucket) = (*self.generator.context().spec(), self.generator.context().position(), n.next_power_of_two());
        let program = logits_program(&self.model, &spec, bucket, false);
        let fed = &self.tokens[position..position + n];
        let logits = logits_at(&self.model, program, CacheUse { cache: self.generator.cache(), position }, bucket, fed);
        self.generator.context_mut().feed(&ids(fed));
        let vocab = logits.len() / bucket;
        for (row, p) in (position..position + n).enumerate() {
            let Some(exact) = self.exact.get(&p) else { continue };
            let error = relative(&logits[row * vocab..][..vocab], exact);
            assert!(error < 1e-3, "position {p}, fed with {n}: {error:.1e}");
            self.checked += 1;
        }
    }
}

/// Six windows token by token, a turn of 200 prefilled after the wrap, and another after an answer that was stopped while a step was in
/// flight.
#[test]
fn a_conversation_of_many_windows_has_the_exact_logits() {
    for request in device_requests(true) {
        let mut talk = Talk::open(&request);
        for position in 0..6 * WINDOW {
            let before = made(talk.generator.counters());
            talk.feed(1);
            let after = made(talk.generator.counters());
            assert!(position < 8 || after == before, "position {position} made something: {before:?}, {after:?}");
        }
        assert_eq!(talk.checked, 17);
        assert!(talk.generator.context().position() > talk.generator.context().spec().n_positions(), "every page was written again");
        talk.feed(200);
        // The answer, drawn: its first id follows from the turn's last logits, the others are drawn by the loop itself.
        let at = talk.generator.context().position();
        let (answer, mut given) = (talk.tokens[at..at + 12].to_vec(), Vec::new());
        let drawn = |id: TokenId| {
            given.push(id.0);
            if given.len() == 11 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let go_on = |_| ControlFlow::Continue(());
        talk.generator.generate(&ids(&answer[..1]), Sampling::default(), 100, |_| false, go_on, drawn).unwrap();
        assert_eq!(given, answer[1..], "{:?}", request.backend);
        // The step of the last id may have run; whether or not, the position goes on behind the answer.
        let held = talk.generator.context().position();
        assert!(held + 1 >= at + 12, "{held}");
        talk.feed(at + 12 + 40 - held);
        assert_eq!(talk.checked, talk.exact.len(), "{:?}", request.backend);
    }
}

/// Ids that a model draws, so that the context is one that it meets.
fn drawn(name: &str, n: usize) -> Vec<u32> {
    let model = open(&device_requests(true)[0], name, WINDOW);
    let mut generator = model.generator(0).unwrap();
    let mut all = PROMPT.to_vec();
    all.extend(generate(&mut generator, &PROMPT, Sampling { temperature: 1.2, seed: 9, ..Sampling::default() }, n - PROMPT.len()));
    all
}

/// Against the logits that an independent program computed in f64 for a window of 24 with 4 sinks.
#[test]
fn a_short_window_agrees_with_its_exact_logits() {
    let expected = read_expected(&fixture("tiny-f32-w24-s4.safetensors"));
    let tokens: Vec<u32> = expected["tokens"].as_i32().unwrap().iter().map(|&id| id as u32).collect();
    let positions = expected["positions"].as_i32().unwrap();
    let exact = expected["exact.logits"].as_f32().unwrap();
    let vocab = exact.len() / positions.len();
    for request in device_requests(true) {
        let mut ours = Logits::new(open(&request, "tiny-f32.gguf", 24));
        let step = ours.program(1);
        for (position, &id) in tokens.iter().enumerate() {
            let logits = ours.feed(step, 1, &[id]);
            if let Some(row) = positions.iter().position(|&p| p as usize == position) {
                let error = relative(&logits, &exact[row * vocab..][..vocab]);
                assert!(error < 1e-4, "position {position} on {:?}: {error:.1e}", request.backend);
            }
        }
    }
}

/// Bit for bit: on a fresh backend each time, and after another prompt and another model on the same one.
#[test]
fn logits_are_the_same_bits_whatever_ran_before() {
    for request in device_requests(false) {
        for name in ["tiny-f32.gguf", "tiny-q4_0.gguf", "tiny-mixed.gguf"] {
            let run = |logits: &mut Logits| -> Vec<u32> {
                let (prefill, step) = (logits.program(8), logits.program(1));
                let mut all = logits.feed(prefill, 8, &PROMPT);
                for id in [4, 300, 17] {
                    all.extend(logits.feed(step, 1, &[id]));
                }
                all.iter().map(|v| v.to_bits()).collect()
            };
            let first = run(&mut Logits::new(open(&request, name, 64)));
            for _ in 0..2 {
                assert_eq!(run(&mut Logits::new(open(&request, name, 64))), first, "{name} on {:?}", request.backend);
            }
            let backend = Backend::open(&request).unwrap();
            for other in ["tiny-mixed.gguf", "tiny-f32.gguf"] {
                let mut logits = Logits::new(open_on(&backend, other, 64));
                let step = logits.program(1);
                (0..70).for_each(|id| drop(logits.feed(step, 1, &[id])));
            }
            let mut model = Logits::new(open_on(&backend, name, 64));
            let step = model.program(1);
            (0..70).for_each(|id| drop(model.feed(step, 1, &[id])));
            model.cache = model.model.executor.lock().new_cache(&model.spec).unwrap();
            model.position = 0;
            assert_eq!(run(&mut model), first, "{name} on {:?} after other work", request.backend);
        }
    }
}

/// A chunk's size follows how long chunks take, so where a prompt is cut must not show. No run that the generate loop makes of a longer prompt
/// has fewer than 16 tokens.
#[test]
fn logits_are_the_same_bits_however_a_prompt_is_cut() {
    for request in device_requests(false) {
        for name in ["tiny-f32.gguf", "tiny-q4_0.gguf", "tiny-mixed.gguf"] {
            let ids = drawn(name, 140);
            let mut logits = Logits::new(open(&request, name, 256));
            let mut run = |cuts: &[usize]| -> Vec<u32> {
                logits.cache = logits.model.executor.lock().new_cache(&logits.spec).unwrap();
                logits.position = 0;
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
                assert!(run(cuts) == whole, "{name} on {:?} cut into {cuts:?}", request.backend);
            }
        }
    }
}

#[test]
fn drawn_ids_are_the_same_whatever_ran_before() {
    let greedy = Sampling::default();
    let seeded = Sampling { temperature: 1.0, seed: 77, top_k: 50, ..Sampling::default() };
    for request in device_requests(false) {
        for sampling in [greedy, seeded] {
            let new = || open(&request, "tiny-q4_0.gguf", 64);
            let model = new();
            let first = generate(&mut model.generator(0).unwrap(), &PROMPT, sampling, 200);
            for _ in 0..2 {
                assert_eq!(generate(&mut new().generator(0).unwrap(), &PROMPT, sampling, 200), first, "{:?}", request.backend);
            }
            let mut generator = model.generator(0).unwrap();
            generate(&mut generator, &[3, 2, 1], seeded, 90);
            generator.context_mut().clear();
            let again = generate(&mut generator, &PROMPT, sampling, 200);
            assert_eq!(again, first, "after another prompt in the same cache on {:?}", request.backend);
        }
    }
}

/// On the CPU a run of two to eight tokens gives each the logits that it has alone, bit for bit, past a window whose sinks are kept.
#[test]
fn a_run_of_a_few_tokens_has_the_bits_of_runs_of_one() {
    let request = &device_requests(false)[0];
    for (name, window) in [("tiny-f32.gguf", 24), ("tiny-mixed.gguf", 33), ("tiny-qwen3.gguf", 40)] {
        let model = open(request, name, window);
        let spec = model.cache_spec(0, 512).unwrap();
        let ids: Vec<u32> = (0..70).map(|i| (i * 37 + i * i * 11) % 250).collect();
        let programs = [1, 2, 4, 8].map(|bucket| logits_program(&model, &spec, bucket, false));
        let feed = |cuts: &mut dyn Iterator<Item = usize>| -> Vec<u32> {
            let cache = model.executor.lock().new_cache(&spec).unwrap();
            let (mut position, mut bits) = (0, Vec::new());
            while position < ids.len() {
                let n = cuts.next().unwrap().min(ids.len() - position);
                let bucket = n.next_power_of_two();
                let program = programs[bucket.ilog2() as usize];
                let logits = logits_at(&model, program, CacheUse { cache, position }, bucket, &ids[position..position + n]);
                bits.extend(logits[..logits.len() / bucket * n].iter().map(|v| v.to_bits()));
                position += n;
            }
            bits
        };
        let single = feed(&mut std::iter::repeat(1));
        let several = feed(&mut (2..=8).cycle());
        let vocab = single.len() / ids.len();
        let differs = (0..ids.len()).find(|p| single[p * vocab..][..vocab] != several[p * vocab..][..vocab]);
        assert_eq!(differs, None, "{name}");
    }
}

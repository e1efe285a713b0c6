//! Runs of several sequences: each gets what it gets alone, whatever runs beside it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tensorlogic::doctor::Noise;
use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::{Binding, CacheId, CacheSpec, CacheUse, CompileOptions, ExecError, KvType, ProgramId, RunArgs, Sampling, Segment};
use tensorlogic::lang::{StepOutput, TraceSpec};
use tensorlogic::tensor::quant::Q4_0;
use tensorlogic::tensor::{DType, HostTensor, Quant};

use crate::support::{Sizes, device_requests, fixture, made_up};

fn requests() -> Vec<DeviceRequest> {
    device_requests(false)
}

/// Whether runs of up to eight rows have the bits of single rows also where the weights' rows are short. Software adapters multiply those with f32
/// activations, and Mesa's compiler takes the widening of a block apart in another way where two tokens share it.
fn keeps_bits(request: &DeviceRequest) -> bool {
    request.backend == BackendChoice::Cpu
}

/// A model whose weights every backend multiplies with rounded activations.
fn wide() -> ModelFile {
    let sizes = Sizes { n_heads: 8, n_kv_heads: 2, head_dim: 64, n_layers: 2, ffn: 768, vocab: 256 };
    let (dtype, mut noise) = (DType::Quant(Quant(&Q4_0)), Noise::new(11));
    made_up(&sizes, dtype, |len, _| noise.weight_bytes(dtype, len))
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// A model with steps of several sequences that give the drawn ids and the logits.
struct Subject {
    model: LoadedModel,
    spec: CacheSpec,
    programs: HashMap<(usize, usize), ProgramId>,
}

impl Subject {
    fn open(request: &DeviceRequest, name: &str, kv_type: KvType, shape: impl FnOnce(CacheSpec) -> CacheSpec) -> Subject {
        Subject::of(request, ModelFile::open(&fixture(name), false).unwrap(), kv_type, shape)
    }

    fn of(request: &DeviceRequest, file: ModelFile, kv_type: KvType, shape: impl FnOnce(CacheSpec) -> CacheSpec) -> Subject {
        let load = LoadRequest { window: Some(24), sinks: Some(4), kv_type, ..LoadRequest::default() };
        let model = LoadedModel::from_file(file, &Backend::open(request).unwrap(), &load).unwrap();
        let spec = shape(CacheSpec { page: 16, ..model.cache_spec(0, 64).unwrap() });
        Subject { model, spec, programs: HashMap::new() }
    }

    fn program(&mut self, n_tokens: usize, n_segments: usize) -> (ProgramId, usize) {
        let key = (n_tokens.next_power_of_two(), n_segments.next_power_of_two());
        let (model, spec) = (&self.model, self.spec);
        let program = *self.programs.entry(key).or_insert_with(|| {
            let output = StepOutput::DrawnBySegment(key.1);
            let trace = TraceSpec { bucket: key.0, n_positions: spec.n_positions(), window: spec.window, output, position: 0 };
            let traced = model.trace(&trace).unwrap();
            let logits = traced.graph.node(traced.output).inputs[0];
            let options = CompileOptions { fuse: true, caches: vec![spec] };
            model.executor.lock().compile(&traced.graph, &[traced.output, logits], &options).unwrap()
        });
        (program, key.0)
    }

    /// Ids and bits of logits by segment. The histories hold the tokens.
    fn run(&mut self, segments: Vec<Segment>) -> Result<Vec<(i32, Vec<u32>)>, ExecError> {
        let (n, n_tokens) = (segments.len(), segments.iter().map(|s| s.n_tokens).sum());
        let (program, bucket) = self.program(n_tokens, n);
        let ids = Binding::Host(Arc::new(HostTensor::i32([bucket], vec![0; bucket])));
        let args = RunArgs { segments, ..RunArgs::of(vec![ids], Segment::default()) };
        let mut executor = self.model.executor.lock();
        let outputs = executor.run(program, &args)?;
        let (ids, logits) = (executor.read(&outputs[0])?, executor.read(&outputs[1])?);
        let vocab = logits.shape.last_dim();
        let rows = logits.as_f32().unwrap().chunks(vocab).map(|row| row.iter().map(|v| v.to_bits()).collect());
        Ok(ids.as_i32().unwrap().iter().copied().zip(rows).take(n).collect())
    }
}

/// A sequence of a batch and what it was given.
struct Sequence {
    cache: CacheId,
    sampling: Sampling,
    /// The prompt and what was drawn behind it.
    ids: Vec<i32>,
    fed: usize,
    /// By position of the last token fed: the drawn id and the logits.
    given: HashMap<usize, (i32, Vec<u32>)>,
}

impl Sequence {
    fn new(cache: CacheId, n_prompt: usize, random: &mut Random) -> Sequence {
        let ids = (0..n_prompt).map(|_| random.below(250) as i32).collect();
        Sequence { cache, sampling: sampling(random), ids, fed: 0, given: HashMap::new() }
    }

    /// The next `n` tokens, which are recorded as the prompt's are.
    fn segment(&self, subject: &Subject, n: usize) -> Segment {
        let ids = &self.ids[self.fed..self.fed + n];
        subject.model.executor.lock().record_history(self.cache, self.fed, ids).unwrap();
        Segment { caches: vec![CacheUse { cache: self.cache, position: self.fed }], n_tokens: n, sampling: self.sampling }
    }

    fn take(&mut self, n: usize, given: (i32, Vec<u32>)) {
        self.fed += n;
        if self.fed == self.ids.len() {
            self.ids.push(given.0);
        }
        self.given.insert(self.fed - 1, given);
    }
}

fn sampling(random: &mut Random) -> Sampling {
    let kinds = [
        Sampling::default(),
        Sampling { temperature: 1.5, ..Sampling::default() },
        Sampling { temperature: 0.9, top_k: 20, top_p: 0.9, repeat_penalty: 1.3, repeat_last_n: 30, ..Sampling::default() },
        Sampling { repeat_penalty: 1.5, repeat_last_n: 64, ..Sampling::default() },
    ];
    Sampling { seed: random.below(1000) as u32, ..kinds[random.below(kinds.len())] }
}

/// Random runs of up to `most_rows` rows: prompts in pieces, single tokens, new sequences, forks, also ones that go back, and endings.
fn random_runs(subject: &mut Subject, most_rows: usize, n_runs: usize, random: &mut Random) -> Vec<Sequence> {
    let first = subject.model.executor.lock().new_cache(&subject.spec).unwrap();
    let mut live = vec![Sequence::new(first, 9, random)];
    let mut all = Vec::new();
    for _ in 0..n_runs {
        match random.below(4) {
            0 if live.len() < subject.spec.sequences => {
                let cache = subject.model.executor.lock().add_cache(live[0].cache).unwrap();
                live.push(Sequence::new(cache, 1 + random.below(36), random));
            }
            1 if live.len() < subject.spec.sequences => {
                let of = &live[random.below(live.len())];
                let position = of.fed - random.below(3).min(of.fed.saturating_sub(1));
                if position > 0 {
                    let cache = subject.model.executor.lock().fork_cache(of.cache, position).unwrap();
                    let ids = of.ids[..=position].to_vec();
                    live.push(Sequence { cache, sampling: sampling(random), ids, fed: position, given: HashMap::new() });
                }
            }
            2 if live.len() > 3 => {
                let gone = live.swap_remove(random.below(live.len()));
                subject.model.executor.lock().free_cache(gone.cache);
                all.push(gone);
            }
            _ => {}
        }
        let start = random.below(live.len());
        live.rotate_left(start);
        let (mut rows, mut taken) = (0, Vec::new());
        for sequence in &live {
            let n = (1 + random.below(12)).min(sequence.ids.len() - sequence.fed).min(most_rows - rows);
            if n == 0 {
                break;
            }
            rows += n;
            taken.push(n);
        }
        // Those of one row come first.
        let mut order: Vec<usize> = (0..taken.len()).collect();
        order.sort_by_key(|&i| taken[i] > 1);
        let segments = order.iter().map(|&i| live[i].segment(subject, taken[i])).collect();
        let given = subject.run(segments).unwrap();
        for (&i, given) in order.iter().zip(given) {
            live[i].take(taken[i], given);
        }
    }
    live.iter().for_each(|sequence| subject.model.executor.lock().free_cache(sequence.cache));
    all.extend(live);
    all
}

/// Feeds what a sequence was fed one token a run, and compares what it was given.
fn assert_alone(subject: &mut Subject, sequence: &Sequence, bits: bool, what: &str) {
    let cache = subject.model.executor.lock().new_cache(&subject.spec).unwrap();
    let mut alone = Sequence { cache, sampling: sequence.sampling, ids: sequence.ids.clone(), fed: 0, given: HashMap::new() };
    for p in 0..sequence.fed {
        let segment = alone.segment(subject, 1);
        let given = subject.run(vec![segment]).unwrap().remove(0);
        if let Some((id, logits)) = sequence.given.get(&p) {
            assert!(!bits || *logits == given.1, "{what}: the logits at position {p} of {}", sequence.fed);
            assert_eq!(*id, given.0, "{what}: the id after position {p} of {}", sequence.fed);
        }
        alone.fed += 1;
    }
    subject.model.executor.lock().free_cache(cache);
}

#[test]
fn in_runs_of_up_to_eight_rows_each_sequence_has_the_bits_that_it_has_alone() {
    for request in requests() {
        for (name, kv_type, page) in [("wide", KvType::F16, 16), ("tiny-q4_0.gguf", KvType::F16, 16), ("tiny-f32.gguf", KvType::F32, 32)] {
            let is_wide = name == "wide";
            let file = if is_wide { wide() } else { ModelFile::open(&fixture(name), false).unwrap() };
            let mut subject = Subject::of(&request, file, kv_type, |spec| CacheSpec { page, sequences: 6, ..spec });
            let all = random_runs(&mut subject, 8, if is_wide { 25 } else { 60 }, &mut Random(3));
            let (n_given, n_far) = (all.iter().map(|s| s.given.len()).sum::<usize>(), all.iter().filter(|s| s.fed > 32).count());
            assert!(n_given > if is_wide { 40 } else { 100 } && n_far >= 2, "{n_given} draws, {n_far} sequences past the window");
            for (i, sequence) in all.iter().enumerate() {
                let bits = is_wide || keeps_bits(&request);
                assert_alone(&mut subject, sequence, bits, &format!("{name} on {:?}, sequence {i}", request.backend));
            }
        }
    }
}

/// Longer runs compute with other kernels, whose logits differ in the last bits: the ids are still those of each sequence alone.
#[test]
fn in_longer_runs_each_sequence_has_the_ids_that_it_has_alone() {
    for request in requests() {
        let mut subject = Subject::open(&request, "tiny-f32.gguf", KvType::F32, |spec| CacheSpec { sequences: 6, ..spec });
        for (i, sequence) in random_runs(&mut subject, 40, 25, &mut Random(5)).iter().enumerate() {
            assert_alone(&mut subject, sequence, false, &format!("{:?}, sequence {i}", request.backend));
        }
    }
}

#[test]
fn a_run_without_a_page_left_loses_nothing() {
    for request in requests() {
        let shape = |spec: CacheSpec| CacheSpec { places: spec.n_pages() + 2, sequences: 3, ..spec };
        let mut subject = Subject::open(&request, "tiny-q4_0.gguf", KvType::F16, shape);
        let random = &mut Random(11);
        let first = subject.model.executor.lock().new_cache(&subject.spec).unwrap();
        let second = subject.model.executor.lock().add_cache(first).unwrap();
        let mut kept = Sequence::new(first, 40, random);
        let mut other = Sequence::new(second, 400, random);
        let mut refused = false;
        for _ in 0..40 {
            let both = vec![kept.segment(&subject, 1), other.segment(&subject, 7)];
            match subject.run(both) {
                Ok(mut given) => {
                    other.take(7, given.remove(1));
                    kept.take(1, given.remove(0));
                }
                Err(error) => {
                    assert!(error.to_string().contains("pages of the key-value cache are in use"), "{error}");
                    subject.model.executor.lock().free_cache(other.cache);
                    refused = true;
                    break;
                }
            }
        }
        assert!(refused, "all pages were never in use");
        for _ in 0..50 {
            let segment = kept.segment(&subject, 1);
            let given = subject.run(vec![segment]).unwrap().remove(0);
            kept.take(1, given);
        }
        subject.model.executor.lock().free_cache(kept.cache);
        assert_alone(&mut subject, &kept, keeps_bits(&request), &format!("{:?}", request.backend));
    }
}

/// The page that a fork shares is copied for the first segment of a run whose second segment finds no page left.
#[test]
fn a_fork_in_a_run_without_a_page_left_keeps_what_it_held() {
    for request in requests() {
        let shape = |spec: CacheSpec| CacheSpec { places: spec.n_pages(), sequences: 3, ..spec };
        let mut subject = Subject::open(&request, "tiny-q4_0.gguf", KvType::F16, shape);
        let random = &mut Random(17);
        let first = subject.model.executor.lock().new_cache(&subject.spec).unwrap();
        let second = subject.model.executor.lock().add_cache(first).unwrap();
        let (mut kept, mut other) = (Sequence::new(first, 20, random), Sequence::new(second, 400, random));
        let feed = |subject: &mut Subject, sequence: &mut Sequence, n: usize| {
            let segment = sequence.segment(subject, n);
            let given = subject.run(vec![segment]).unwrap().remove(0);
            sequence.take(n, given);
        };
        [8, 8, 4].into_iter().for_each(|n| feed(&mut subject, &mut kept, n));
        let fork = subject.model.executor.lock().fork_cache(first, 20).unwrap();
        // One page is left: the copy takes it.
        let left = subject.spec.n_pages() - 2 - 1;
        let page = subject.spec.page;
        (0..left).for_each(|_| feed(&mut subject, &mut other, page));
        let both = vec![kept.segment(&subject, 1), other.segment(&subject, subject.spec.page)];
        let error = subject.run(both).unwrap_err().to_string();
        assert!(error.contains("pages of the key-value cache are in use"), "{error}");
        subject.model.executor.lock().free_cache(other.cache);
        (0..30).for_each(|_| feed(&mut subject, &mut kept, 1));
        subject.model.executor.lock().free_cache(fork);
        subject.model.executor.lock().free_cache(kept.cache);
        assert_alone(&mut subject, &kept, keeps_bits(&request), &format!("{:?}", request.backend));
    }
}

/// A fork shares all pages, and copies the one that is not full when it writes there.
#[test]
fn a_long_sequence_is_forked_at_once() {
    for request in requests().into_iter().filter(keeps_bits) {
        let shape = |spec: CacheSpec| CacheSpec { window: 8192, page: 256, sequences: 17, places: 60, ..spec };
        let mut subject = Subject::open(&request, "tiny-q4_0.gguf", KvType::F16, shape);
        let first = subject.model.executor.lock().new_cache(&subject.spec).unwrap();
        let row = |subject: &Subject, cache: CacheId, position: usize| {
            subject.model.executor.lock().record_history(cache, position, &[7]).unwrap();
            Segment { caches: vec![CacheUse { cache, position }], n_tokens: 1, sampling: Sampling::default() }
        };
        let last = row(&subject, first, 8_099);
        subject.run(vec![last]).unwrap();
        let n_free = |subject: &Subject| subject.model.executor.lock().free_pages(first).unwrap();
        let before = n_free(&subject);
        assert_eq!(before, 60 - 8_100usize.div_ceil(256));
        let forks = || -> Vec<CacheId> { (0..16).map(|_| subject.model.executor.lock().fork_cache(first, 8_100).unwrap()).collect() };
        // Of ten times the best: the machine has other work.
        let took = (0..10).map(|_| {
            let start = Instant::now();
            let forks = forks();
            let took = start.elapsed();
            forks.into_iter().for_each(|cache| subject.model.executor.lock().free_cache(cache));
            took
        });
        let took = took.min().unwrap();
        let forks = forks();
        println!("a sequence of 8,100 tokens was forked 16 times in {took:?}");
        assert!(took.as_millis() < 20, "{took:?}");
        assert_eq!(n_free(&subject), before, "forks share all pages");
        let next = row(&subject, first, 8_100);
        let expected = subject.run(vec![next]).unwrap();
        for eight in forks.chunks(8) {
            let rows = eight.iter().map(|&fork| row(&subject, fork, 8_100)).collect();
            assert!(subject.run(rows).unwrap().iter().all(|given| *given == expected[0]), "each goes on as the first");
        }
        assert_eq!(before - n_free(&subject), 16, "each writes into a page of its own, and one into the first");
        forks.into_iter().chain([first]).for_each(|cache| subject.model.executor.lock().free_cache(cache));
    }
}

#[test]
fn what_no_run_of_several_sequences_can_take_is_refused() {
    for request in requests() {
        let mut subject = Subject::open(&request, "tiny-q4_0.gguf", KvType::F16, |spec| CacheSpec { sequences: 2, ..spec });
        let first = subject.model.executor.lock().new_cache(&subject.spec).unwrap();
        let second = subject.model.executor.lock().add_cache(first).unwrap();
        let message = subject.model.executor.lock().add_cache(first).unwrap_err().to_string();
        assert!(message.contains("2 sequences of at most 2"), "{message}");
        let segment = |cache| Segment { caches: vec![CacheUse { cache, position: 0 }], n_tokens: 1, sampling: Sampling::default() };
        let message = subject.run(vec![segment(first), segment(first)]).unwrap_err().to_string();
        assert!(message.contains("two segments"), "{message}");
        subject.model.executor.lock().free_cache(second);
        assert!(subject.run(vec![segment(first), segment(second)]).unwrap_err().to_string().contains("no cache"));
        assert!(subject.model.executor.lock().fork_cache(first, 5000).is_err(), "nothing was written there");
        assert!(subject.run(vec![segment(first)]).is_ok());
    }
}

/// Segments of a row each that follow one another in one sequence, as drafts are verified.
#[test]
fn rows_of_one_sequence_have_the_bits_that_they_have_alone() {
    for request in requests() {
        for (name, kv_type) in [("tiny-q4_0.gguf", KvType::F16), ("tiny-f32.gguf", KvType::F32)] {
            let mut subject = Subject::open(&request, name, kv_type, |spec| CacheSpec { page: 16, sequences: 2, ..spec });
            let random = &mut Random(23);
            let cache = subject.model.executor.lock().new_cache(&subject.spec).unwrap();
            // Without a penalty: a row's draw takes the place of the next row's id in the history, and here draws are not what follows.
            let mut sequence = Sequence { sampling: Sampling::default(), ..Sequence::new(cache, 70, random) };
            while sequence.fed < 69 {
                let n = (1 + random.below(8)).min(69 - sequence.fed);
                let of_row = |subject: &Subject, i: usize| {
                    let from = Sequence { fed: sequence.fed + i, ids: sequence.ids.clone(), given: HashMap::new(), ..sequence };
                    from.segment(subject, 1)
                };
                let segments = (0..n).map(|i| of_row(&subject, i)).collect();
                for given in subject.run(segments).unwrap() {
                    sequence.take(1, given);
                }
            }
            subject.model.executor.lock().free_cache(cache);
            assert_alone(&mut subject, &sequence, keeps_bits(&request), &format!("{name} on {:?}", request.backend));
        }
    }
}

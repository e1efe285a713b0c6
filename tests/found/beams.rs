//! Beam search finds the same completions as an exhaustive search, and each of several completions is the one that its seed gives alone.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel};
use tensorlogic::graph::{Binding, CacheUse, CompileOptions, KvType, RunArgs, Sampling, Segment};
use tensorlogic::lang::{StepOutput, TraceSpec};
use tensorlogic::model::{Beam, BeamRequest, Completion, CompletionsRequest, Finish, Progress, complete};
use tensorlogic::tensor::{DType, HostTensor};
use tensorlogic::text::TokenId;

use crate::support::{Sizes, device_requests, fixture, random_llama};

const PROMPT: [u32; 2] = [3, 5];
const VOCAB: usize = 8;
const N: usize = 4;

/// A model of eight tokens.
fn small(device: &DeviceRequest, seed: u32) -> LoadedModel {
    let sizes = Sizes { n_heads: 2, n_kv_heads: 1, head_dim: 8, n_layers: 2, ffn: 16, vocab: VOCAB };
    let load = LoadRequest { window: Some(16), sinks: Some(4), kv_type: KvType::F32, ..LoadRequest::default() };
    let device = DeviceRequest { threads: Some(1), ..device.clone() };
    LoadedModel::from_file(random_llama(&sizes, DType::F32, seed).file, &Backend::open(&device).unwrap(), &load).unwrap()
}

fn cpu() -> DeviceRequest {
    DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }
}

/// By what follows the prompt: ln of the probability of each token behind it.
type Table = HashMap<Vec<u32>, Vec<f64>>;

/// Of all that may follow, computed by runs of one sequence with its logits.
fn table(model: &LoadedModel) -> Table {
    let spec = model.cache_spec(0, 16).unwrap();
    let rows = PROMPT.len() + N - 1;
    let trace = TraceSpec { bucket: rows, n_positions: spec.n_positions(), window: spec.window, output: StepOutput::Logits, position: 0 };
    let traced = model.trace(&trace).unwrap();
    let mut executor = model.executor.lock();
    let program = executor.compile(&traced.graph, &[traced.output], &CompileOptions { fuse: true, caches: vec![spec] }).unwrap();
    let cache = executor.new_cache(&spec).unwrap();
    let mut table = Table::new();
    for leaf in 0..VOCAB.pow(N as u32 - 1) {
        let follows: Vec<u32> = (0..N as u32 - 1).map(|i| (leaf / VOCAB.pow(i) % VOCAB) as u32).collect();
        let ids: Vec<i32> = PROMPT.iter().chain(&follows).map(|&id| id as i32).collect();
        let segment = Segment { caches: vec![CacheUse { cache, position: 0 }], n_tokens: rows, sampling: Sampling::default() };
        let tokens = Binding::Host(Arc::new(HostTensor::i32([rows], ids)));
        let outputs = executor.run(program, &RunArgs::of(vec![tokens], segment)).unwrap();
        let logits = executor.read(&outputs[0]).unwrap();
        for (i, logits) in logits.as_f32().unwrap().chunks(VOCAB).skip(PROMPT.len() - 1).enumerate() {
            let sum: f64 = logits.iter().map(|&v| f64::from(v).exp()).sum();
            table.insert(follows[..i].to_vec(), logits.iter().map(|&v| f64::from(v) - sum.ln()).collect());
        }
    }
    executor.free_cache(cache);
    table
}

/// Every completion with its probability, the likeliest first.
fn everything(table: &Table, end: u32) -> Vec<Beam> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), 0.0)];
    while let Some((ids, logprob)) = open.pop() {
        for (id, p) in table[&ids].iter().enumerate() {
            let logprob = logprob + p;
            if id as u32 == end {
                found.push(beam(&ids, logprob, Finish::Stop));
                continue;
            }
            let longer: Vec<u32> = ids.iter().copied().chain([id as u32]).collect();
            if longer.len() == N { found.push(beam(&longer, logprob, Finish::Length)) } else { open.push((longer, logprob)) }
        }
    }
    found.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
    found
}

/// A plain beam search over the table.
fn plain(table: &Table, end: u32, beams: usize) -> Vec<Beam> {
    let (mut live, mut ended): (Vec<(Vec<u32>, f64)>, Vec<Beam>) = (vec![(Vec::new(), 0.0)], Vec::new());
    for _ in 0..N {
        let mut all: Vec<(Vec<u32>, u32, f64)> = Vec::new();
        for (ids, logprob) in &live {
            all.extend(table[ids].iter().enumerate().map(|(id, p)| (ids.clone(), id as u32, logprob + p)));
        }
        all.sort_by(|a, b| b.2.total_cmp(&a.2));
        live.clear();
        for (ids, id, logprob) in all {
            if live.len() == beams {
                break;
            }
            match id == end {
                true => ended.push(beam(&ids, logprob, Finish::Stop)),
                false => live.push((ids.into_iter().chain([id]).collect(), logprob)),
            }
        }
    }
    ended.extend(live.iter().map(|(ids, logprob)| beam(ids, *logprob, Finish::Length)));
    ended.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
    ended.truncate(beams);
    ended
}

fn beam(ids: &[u32], logprob: f64, finish: Finish) -> Beam {
    Beam { ids: ids.iter().map(|&id| TokenId(id)).collect(), logprob, finish }
}

fn searched(model: &LoadedModel, beams: usize, end: u32) -> Vec<Beam> {
    let prompt = PROMPT.iter().map(|&id| TokenId(id)).collect();
    let request = BeamRequest { prompt, beams, max_tokens: N, ends: vec![TokenId(end)] };
    model.beam_search(&request, |_, _| ControlFlow::Continue(())).unwrap()
}

fn assert_equal(found: &[Beam], expected: &[Beam], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((&found.ids, found.finish), (&expected.ids, expected.finish), "{what}: {found:?} for {expected:?}");
        assert!((found.logprob - expected.logprob).abs() < 1e-4, "{what}: {found:?} for {expected:?}");
    }
}

/// No completion is given up where there are as many beams as beginnings.
#[test]
fn beams_that_are_wide_enough_find_the_likeliest_of_all() {
    let model = small(&cpu(), 3);
    let table = table(&model);
    for end in [0, 6] {
        let expected = everything(&table, end);
        assert_eq!(expected.len(), 7usize.pow(4) + 1 + 7 + 49 + 343);
        let found = searched(&model, VOCAB.pow(N as u32 - 1), end);
        assert_eq!(found.len(), 512);
        assert_equal(&found[..10], &expected[..10], &format!("end {end}"));
        let mut ids: Vec<_> = found.iter().map(|beam| (&beam.ids, beam.finish == Finish::Stop)).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 512, "each is another one");
    }
}

#[test]
fn fewer_beams_find_what_a_plain_search_finds() {
    for seed in [3, 4] {
        let table = table(&small(&cpu(), seed));
        for device in device_requests(false) {
            let model = small(&device, seed);
            let before = model.executor.lock().counters().device_bytes;
            for beams in [1, 2, 3, 5] {
                for end in [0, 2, 99] {
                    let (found, expected) = (searched(&model, beams, end), plain(&table, end, beams));
                    assert_equal(&found, &expected, &format!("{:?}, seed {seed}, {beams} beams, end {end}", device.backend));
                }
            }
            let after = model.executor.lock().counters().device_bytes;
            assert!(device.backend != BackendChoice::Cpu || after <= before + 100_000, "{before} bytes, then {after}");
        }
    }
}

#[test]
fn a_search_that_is_broken_off_gives_what_there_is() {
    let model = small(&cpu(), 3);
    let prompt: Vec<TokenId> = PROMPT.iter().map(|&id| TokenId(id)).collect();
    let request = BeamRequest { prompt, beams: 3, max_tokens: 40, ends: Vec::new() };
    let stop = |_: usize, given: usize| if given == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let found = model.beam_search(&request, stop).unwrap();
    assert!(found.len() == 3 && found.iter().all(|beam| beam.ids.len() == 5), "{found:?}");
    // Past the window.
    let whole = model.beam_search(&request, |_, _| ControlFlow::Continue(())).unwrap();
    assert!(whole.len() == 3 && whole.iter().all(|beam| beam.ids.len() == 40 && beam.finish == Finish::Length), "{whole:?}");
    let empty = model.beam_search(&BeamRequest { prompt: Vec::new(), ..request }, |_, _| ControlFlow::Continue(()));
    assert!(empty.is_err_and(|error| error.to_string().contains("the prompt has no tokens")));
}

#[test]
fn completions_are_those_that_their_seeds_give_alone() {
    for device in device_requests(false) {
        let device = DeviceRequest { threads: Some(1), ..device };
        let load = LoadRequest { window: Some(64), sinks: Some(4), kv_type: KvType::F32, ..LoadRequest::default() };
        let model = LoadedModel::open(&fixture("tiny-f32.gguf"), &Backend::open(&device).unwrap(), &load).unwrap();
        let prompt: Vec<TokenId> = [1, 267, 270, 9].into_iter().map(TokenId).collect();
        let sampling = Sampling { temperature: 1.1, seed: 40, ..Sampling::default() };
        let request = CompletionsRequest { prompt: prompt.clone(), n: 3, sampling, max_tokens: 12, ends: Vec::new() };
        let mut scheduler = model.scheduler(4).unwrap();
        let (drawn, _) = complete(&mut scheduler, &request, |_| ControlFlow::Continue(())).unwrap();
        for (i, Completion { ids, finish, .. }) in drawn.iter().enumerate() {
            let (mut alone, mut generator) = (Vec::new(), model.generator(0).unwrap());
            let on_token = |id| {
                alone.push(id);
                ControlFlow::Continue(())
            };
            let sampling = Sampling { seed: 40 + i as u32, ..sampling };
            generator.generate(&prompt, sampling, 12, |_| false, |_| ControlFlow::Continue(()), on_token).unwrap();
            assert_eq!((ids, *finish), (&alone, Some(Finish::Length)), "{:?}, number {i}", device.backend);
        }
        assert!(scheduler.is_empty());
        // Broken off, it leaves no sequence behind.
        let mut n_runs = 0;
        let stop = |_: Progress| {
            n_runs += 1;
            if n_runs == 8 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (drawn, _) = complete(&mut scheduler, &request, stop).unwrap();
        assert!(drawn.iter().all(|c| c.finish.is_none() && c.ids.len() < 12) && scheduler.is_empty(), "{drawn:?}");
    }
}

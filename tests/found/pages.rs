//! Sequences that share pages: those that find none wait, prompts met again are not computed again, and nobody waits long for a token.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel, ModelSteps};
use tensorlogic::graph::{CacheSpec, KvType, Sampling};
use tensorlogic::model::{Event, Request, Scheduler, SchedulerOptions, SequenceId};
use tensorlogic::tensor::DType;
use tensorlogic::text::TokenId;

use crate::scratch::Scratch;
use crate::support::{Sizes, device_requests, fixture, random_llama};

fn load(window: usize) -> LoadRequest {
    LoadRequest { window: Some(window), sinks: Some(4), kv_type: KvType::F32, ..LoadRequest::default() }
}

fn open(request: &DeviceRequest, window: usize) -> LoadedModel {
    LoadedModel::open(&fixture("tiny-f32.gguf"), &Backend::open(request).unwrap(), &load(window)).unwrap()
}

/// A model so small that thousands of tokens take a second.
fn made_up(window: usize) -> LoadedModel {
    let sizes = Sizes { n_heads: 1, n_kv_heads: 1, head_dim: 8, n_layers: 1, ffn: 32, vocab: 64 };
    let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap();
    LoadedModel::from_file(random_llama(&sizes, DType::F32, 5).file, &backend, &load(window)).unwrap()
}

/// Tokens of a family, of which two agree as far as both go.
fn words(family: usize, len: usize) -> Vec<TokenId> {
    (0..len).map(|t| TokenId(((family * 29 + t * 17 + t * t * 3) % 61) as u32)).collect()
}

fn request(ids: Vec<TokenId>, max_tokens: usize) -> Request {
    let sampling = match ids.len() % 3 {
        0 => Sampling::default(),
        1 => Sampling { temperature: 0.9, top_k: 40, seed: ids.len() as u32, ..Sampling::default() },
        _ => Sampling { repeat_penalty: 1.3, ..Sampling::default() },
    };
    Request { ids, sampling, max_tokens, ends: Vec::new() }
}

fn alone(model: &LoadedModel, request: &Request) -> Vec<u32> {
    let mut given = Vec::new();
    let on_token = |id: TokenId| {
        given.push(id.0);
        ControlFlow::Continue(())
    };
    let mut generator = model.generator(0).unwrap();
    generator.generate(&request.ids, request.sampling, request.max_tokens, |_| false, |_| ControlFlow::Continue(()), on_token).unwrap();
    given
}

/// The tokens of a step are added to those of their sequences.
fn step(scheduler: &mut Scheduler<ModelSteps>, given: &mut BTreeMap<SequenceId, Vec<u32>>) -> Vec<Event> {
    let events = scheduler.step().unwrap();
    for event in &events {
        match *event {
            Event::Token { sequence, id } => given.entry(sequence).or_default().push(id.0),
            Event::End { .. } => {}
            Event::Failed { sequence, reason } => panic!("{sequence:?}: {reason}"),
        }
    }
    events
}

fn run(scheduler: &mut Scheduler<ModelSteps>) -> BTreeMap<SequenceId, Vec<u32>> {
    let mut given = BTreeMap::new();
    while !scheduler.is_empty() {
        step(scheduler, &mut given);
    }
    given
}

#[test]
fn a_sequence_without_a_page_waits_and_gives_what_it_gives_alone() {
    for device in device_requests(false) {
        let model = open(&device, 96);
        for keeps_prefixes in [true, false] {
            let spec = CacheSpec { page: 16, sequences: 5, places: 14, ..model.cache_spec(0, 32).unwrap() };
            let mut scheduler = model.scheduler_of(spec).unwrap();
            scheduler.set_options(SchedulerOptions { keeps_prefixes, ..SchedulerOptions::default() });
            let requests: Vec<Request> = [(40, 50), (61, 40), (33, 60), (70, 30)].map(|(len, n)| request(words(len, len), n)).to_vec();
            let ids: Vec<SequenceId> = requests.iter().map(|r| scheduler.add(r.clone()).unwrap()).collect();
            let given = run(&mut scheduler);
            for (id, request) in ids.iter().zip(&requests) {
                assert_eq!(given[id], alone(&model, request), "{device:?}, {} tokens", request.ids.len());
            }
            assert!(scheduler.counts().put_back > 0, "{device:?}: all of them found pages");
            assert_eq!(scheduler.free_pages().unwrap(), 14, "{device:?}");
        }
    }
}

/// Random requests with beginnings that others had, forks and cancellations in a memory that is too small for all of them.
#[test]
fn sequences_that_come_fork_and_go_in_little_memory_give_what_they_give_alone() {
    let model = made_up(64);
    let spec = CacheSpec { page: 8, sequences: 7, places: 26, ..model.cache_spec(0, 24).unwrap() };
    let mut scheduler = model.scheduler_of(spec).unwrap();
    let mut state = 7u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let mut asked: BTreeMap<SequenceId, Request> = BTreeMap::new();
    let (mut given, mut n_ended, mut n_forks) = (BTreeMap::new(), 0, 0);
    for _ in 0..1500 {
        let live: Vec<SequenceId> = asked.keys().copied().collect();
        match random(10) {
            0 | 1 if live.len() < 6 => {
                let mut ids = words(random(3), 1 + random(60));
                ids.extend(words(random(50), random(4)));
                let request = request(ids, 1 + random(50));
                asked.insert(scheduler.add(request.clone()).unwrap(), request);
            }
            2 if !live.is_empty() && live.len() < 6 => {
                let of = live[random(live.len())];
                let mut ids = asked[&of].ids.clone();
                let at = 1 + random(ids.len());
                ids.truncate(at);
                ids.extend(words(random(50), 1 + random(3)));
                let request = request(ids, 1 + random(30));
                asked.insert(scheduler.fork(of, at, request.clone()).unwrap(), request);
                n_forks += 1;
            }
            3 if !live.is_empty() && random(4) == 0 => {
                let gone = live[random(live.len())];
                scheduler.cancel(gone);
                asked.remove(&gone);
                given.remove(&gone);
            }
            _ => {
                for event in step(&mut scheduler, &mut given) {
                    let Event::End { sequence, .. } = event else { continue };
                    let request = asked.remove(&sequence).unwrap();
                    assert_eq!(given.remove(&sequence).unwrap(), alone(&model, &request), "{} tokens", request.ids.len());
                    n_ended += 1;
                }
            }
        }
    }
    let counts = scheduler.counts();
    assert!(n_ended > 50 && n_forks > 20 && counts.put_back > 20 && counts.reused_tokens > 500, "{n_ended}, {n_forks}, {counts:?}");
    asked.keys().for_each(|&sequence| scheduler.cancel(sequence));
    assert_eq!(scheduler.free_pages().unwrap(), 26);
}

#[test]
fn a_system_prompt_that_was_met_is_not_computed_again() {
    let model = made_up(8192);
    let system = words(1, 4096);
    let asked = |question: usize| request(system.iter().copied().chain(words(question, 9)).collect(), 6);
    let (first, second) = (asked(7), asked(8));
    let mut without = model.scheduler(2).unwrap();
    without.set_options(SchedulerOptions { keeps_prefixes: false, ..SchedulerOptions::default() });
    let id = without.add(second.clone()).unwrap();
    let expected = run(&mut without).remove(&id).unwrap();
    assert_eq!(without.counts().reused_tokens, 0);
    let mut scheduler = model.scheduler(2).unwrap();
    scheduler.add(first).unwrap();
    run(&mut scheduler);
    let id = scheduler.add(second).unwrap();
    let (before, mut given) = (scheduler.counts().runs, BTreeMap::new());
    while given.is_empty() {
        step(&mut scheduler, &mut given);
    }
    let n_runs = scheduler.counts().runs - before;
    assert!(n_runs <= 3, "the first token came in run {n_runs}");
    assert_eq!((scheduler.reused(id), scheduler.counts().reused_tokens), (4096, 4096));
    let rest = run(&mut scheduler).remove(&id).unwrap();
    assert_eq!([given.remove(&id).unwrap(), rest].concat(), expected);
}

/// Of sequences that begin with the same tokens the first computes them, also where all are added before a run.
#[test]
fn requests_that_come_together_share_what_they_begin_with() {
    let model = made_up(256);
    let spec = CacheSpec { page: 16, sequences: 4, ..model.cache_spec(0, 32).unwrap() };
    let mut scheduler = model.scheduler_of(spec).unwrap();
    let requests = [3, 4, 5].map(|i| request(words(1, 100).into_iter().chain(words(i, i)).collect(), 10));
    let ids = requests.clone().map(|request| scheduler.add(request).unwrap());
    let given = run(&mut scheduler);
    for (id, request) in ids.iter().zip(&requests) {
        assert_eq!(given[id], alone(&model, request), "{} tokens", request.ids.len());
    }
    let counts = scheduler.counts();
    assert_eq!((counts.reused_tokens, counts.prompt_rows), (2 * 96, 300 + 12 - 2 * 96));
}

/// A program whose tokens look at each other other than through the cache takes a prompt in one run.
#[test]
fn a_prompt_that_no_run_holds_is_refused_and_others_wait_whole() {
    let folder = Scratch::new("pages-whole");
    let llama = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lang/std/llama.tl")).unwrap();
    let mixing = llama.replace("let x = embedding\n", "let x = embedding + 0.1 * mean(embedding, 0)\n");
    assert_ne!(mixing, llama);
    std::fs::write(folder.path("mixing.tl"), mixing).unwrap();
    for device in device_requests(false) {
        let arch = Some(folder.path("mixing.tl"));
        let model =
            LoadedModel::open(&fixture("tiny-f32.gguf"), &Backend::open(&device).unwrap(), &LoadRequest { arch, ..load(64) }).unwrap();
        let spec = CacheSpec { page: 8, sequences: 4, places: 14, ..model.cache_spec(0, 16).unwrap() };
        let mut scheduler = model.scheduler_of(spec).unwrap();
        let requests: Vec<Request> = [5, 14, 11].map(|len| request(words(len, len), 40)).to_vec();
        let ids: Vec<SequenceId> = requests.iter().map(|r| scheduler.add(r.clone()).unwrap()).collect();
        scheduler.step().unwrap();
        scheduler.cancel(ids[0]);
        let refused = scheduler.add(request(words(0, 17), 4)).unwrap_err().to_string();
        assert!(refused.contains("17 tokens at once are more than the 16 of one run"), "{refused}");
        let third = scheduler.add(requests[0].clone()).unwrap();
        let given = run(&mut scheduler);
        for (id, request) in [third, ids[1], ids[2]].iter().zip(&requests) {
            assert_eq!(given[id], alone(&model, request), "{device:?}, {} tokens", request.ids.len());
        }
        let counts = scheduler.counts();
        assert!(counts.put_back > 0 && counts.reused_tokens == 0, "{device:?}: {counts:?}");
    }
}

/// A device that takes 4 ms a run and, as its cache fills, 100 to 430 µs a row.
#[test]
fn nobody_waits_for_a_token_while_a_long_prompt_is_read() {
    const PROMPT: usize = 32_768;
    let model = made_up(64);
    let mut scheduler = model.scheduler(9).unwrap();
    for i in 0..8 {
        scheduler.add(request(words(i, 3), usize::MAX)).unwrap();
    }
    let mut given = BTreeMap::new();
    while given.len() < 8 {
        step(&mut scheduler, &mut given);
    }
    let micros = Arc::new(AtomicU64::new(0));
    let (now, mut then) = (micros.clone(), scheduler.counts());
    scheduler.set_clock(move |counts| {
        let rows = counts.prompt_rows + counts.drawn_rows - then.prompt_rows - then.drawn_rows;
        let took = 4_000 * (counts.runs - then.runs) + rows * (100 + counts.prompt_rows / 100);
        then = *counts;
        Duration::from_micros(now.fetch_add(took, Ordering::Relaxed) + took)
    });
    let start = scheduler.counts();
    let long = scheduler.add(request(words(9, PROMPT), 1)).unwrap();
    let mut longest = 0;
    while scheduler.prompt_left(long) > 0 {
        let before = micros.load(Ordering::Relaxed);
        let n = step(&mut scheduler, &mut given).iter().filter(|e| matches!(e, Event::Token { sequence, .. } if *sequence != long)).count();
        assert_eq!(n, 8, "each has its row in each run");
        longest = longest.max(micros.load(Ordering::Relaxed) - before);
    }
    assert!(longest <= 100_000, "a token was waited for for {longest} µs");
    // Alone it would be read in runs of 512 rows.
    let alone: u64 = (0..PROMPT as u64 / 512).map(|i| 4_000 + 512 * (100 + (i + 1) * 512 / 100)).sum();
    let took = micros.load(Ordering::Relaxed);
    assert!(took * 10 <= alone * 13, "the prompt took {took} µs, alone {alone} µs, in {} runs", scheduler.counts().runs - start.runs);
}

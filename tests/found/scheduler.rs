//! Sequences that share runs: each gets what it gets alone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tensorlogic::engine::{Backend, DeviceRequest, LoadRequest, LoadedModel, ModelSteps};
use tensorlogic::graph::{KvType, Sampling};
use tensorlogic::model::{Event, Finish, Request, Scheduler, SequenceId};
use tensorlogic::text::TokenId;

use crate::support::{device_requests, fixture};

fn open(request: &DeviceRequest, name: &str) -> LoadedModel {
    let backend = Backend::open(request).unwrap();
    let load = LoadRequest { window: Some(64), sinks: Some(4), kv_type: KvType::F32, ..LoadRequest::default() };
    LoadedModel::open(&fixture(name), &backend, &load).unwrap()
}

/// A prompt of its own for each sequence.
fn prompt(i: usize, len: usize) -> Vec<TokenId> {
    (0..len).map(|t| TokenId(1 + ((i * 131 + t * 17 + t * t * 3) % 250) as u32)).collect()
}

fn request(i: usize, len: usize, max_tokens: usize) -> Request {
    let sampling = match i % 3 {
        0 => Sampling::default(),
        1 => Sampling { temperature: 0.9, top_k: 40, top_p: 0.95, seed: i as u32, ..Sampling::default() },
        _ => Sampling { temperature: 0.0, repeat_penalty: 1.3, ..Sampling::default() },
    };
    Request { ids: prompt(i, len), sampling, max_tokens, ends: Vec::new() }
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

/// Steps until no sequence is left; the tokens of each, and how it ended.
fn run(scheduler: &mut Scheduler<ModelSteps>) -> BTreeMap<SequenceId, (Vec<u32>, Option<Finish>)> {
    let mut given: BTreeMap<SequenceId, (Vec<u32>, Option<Finish>)> = BTreeMap::new();
    while !scheduler.is_empty() {
        for event in scheduler.step().unwrap() {
            match event {
                Event::Token { sequence, id } => given.entry(sequence).or_default().0.push(id.0),
                Event::End { sequence, finish } => given.entry(sequence).or_default().1 = Some(finish),
                Event::Failed { sequence, reason } => panic!("{sequence:?}: {reason}"),
            }
        }
    }
    given
}

#[test]
fn sequences_that_share_runs_give_what_each_gives_alone() {
    for device in device_requests(false) {
        let model = open(&device, "tiny-f32.gguf");
        let mut scheduler = model.scheduler(6).unwrap();
        // Past the window, with a prompt of one token, and with one of several chunks.
        let requests: Vec<Request> =
            [(3, 90), (1, 40), (20, 30), (150, 25), (7, 1), (33, 60)].iter().enumerate().map(|(i, &(len, n))| request(i, len, n)).collect();
        let ids: Vec<SequenceId> = requests.iter().map(|r| scheduler.add(r.clone()).unwrap()).collect();
        let given = run(&mut scheduler);
        for (id, request) in ids.iter().zip(&requests) {
            assert_eq!(given[id], (alone(&model, request), Some(Finish::Length)), "{device:?}, {} tokens", request.ids.len());
        }
    }
}

#[test]
fn a_fork_goes_on_from_what_it_shares() {
    for device in device_requests(false) {
        let model = open(&device, "tiny-f32.gguf");
        let mut scheduler = model.scheduler(5).unwrap();
        let first = request(0, 45, 60);
        let base = scheduler.add(first.clone()).unwrap();
        while scheduler.prompt_left(base) > 0 {
            scheduler.step().unwrap();
        }
        let mut requests = vec![first.clone()];
        let mut ids = vec![base];
        for i in 1..5 {
            // The same beginning, then words of its own.
            let at = [44, 45, 30, 17][i - 1];
            let mut fork = request(i, 0, 40);
            fork.ids = first.ids[..at].iter().copied().chain(prompt(i, 6)).collect();
            ids.push(scheduler.fork(base, at, fork.clone()).unwrap());
            requests.push(fork);
        }
        let mut given = run(&mut scheduler);
        for (id, request) in ids.iter().zip(&requests).skip(1) {
            assert_eq!(given.remove(id).unwrap().0, alone(&model, request), "{device:?}");
        }
        // Its first tokens came while its prompt was awaited.
        let alone = alone(&model, &first);
        assert!(alone.ends_with(&given[&base].0), "{device:?}");
    }
}

/// Sequences that come and go need nothing new once each number of rows has been met.
#[test]
fn sequences_that_come_and_go_make_nothing_new() {
    for device in device_requests(false) {
        let model = open(&device, "tiny-f32.gguf");
        let mut scheduler = model.scheduler(4).unwrap();
        let mut made = Vec::new();
        for round in 0..6 {
            for i in 0..4 {
                scheduler.add(request(round * 4 + i, 1 + (i * 5 + 2) % 9, 5 + i)).unwrap();
            }
            run(&mut scheduler);
            let counters = scheduler.counters();
            made.push((counters.programs, counters.buffers, counters.pipelines, counters.bind_groups, counters.device_bytes));
        }
        assert_eq!(made[3..].iter().min(), made[3..].iter().max(), "{device:?}: {made:?}");
    }
}

#[test]
fn more_sequences_than_there_is_room_for_are_refused() {
    for device in device_requests(false) {
        let model = open(&device, "tiny-f32.gguf");
        let mut scheduler = model.scheduler(2).unwrap();
        let ids: Vec<SequenceId> = (0..2).map(|i| scheduler.add(request(i, 4, 8)).unwrap()).collect();
        let refused = scheduler.add(request(2, 4, 8)).unwrap_err().to_string();
        assert!(refused.contains("room for 2 sequences"), "{refused}");
        scheduler.cancel(ids[0]);
        scheduler.add(request(2, 4, 8)).unwrap();
        assert_eq!(run(&mut scheduler).len(), 2);
    }
}

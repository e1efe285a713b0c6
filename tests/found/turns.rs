//! Conversations beside each other, and conversations that outlive their device.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineError, LoadRequest, LoadedModel, ModelSteps, demo};
use tensorlogic::gpu::{Faults, GpuExecutor, GpuOptions};
use tensorlogic::graph::{ExecError, KvType, Sampling, SharedExecutor};
use tensorlogic::model::{ChatError, ChatSession, ChatSettings, Event, Finish, Request, Scheduler, SequenceId};
use tensorlogic::text::TokenId;

use crate::support::{device_requests, fixture, gpu_is_there};

fn load() -> LoadRequest {
    LoadRequest { window: Some(64), sinks: Some(4), kv_type: KvType::F32, ..LoadRequest::default() }
}

fn request(i: u32, max_tokens: usize) -> Request {
    let ids = (0..4 + i).map(|t| TokenId(1 + (i * 37 + t * 11) % 250)).collect();
    let sampling = Sampling { temperature: 0.9, top_k: 40, repeat_penalty: 1.1, repeat_last_n: 32, seed: i, ..Sampling::default() };
    Request { ids, sampling, max_tokens, ends: Vec::new() }
}

fn alone(model: &LoadedModel, request: &Request) -> Vec<TokenId> {
    let (mut generator, mut given) = (model.generator(0).unwrap(), Vec::new());
    let on_token = |id| {
        given.push(id);
        ControlFlow::Continue(())
    };
    generator.generate(&request.ids, request.sampling, request.max_tokens, |_| false, |_| ControlFlow::Continue(()), on_token).unwrap();
    given
}

#[test]
fn two_sequences_in_one_thread_take_turns() {
    for device in device_requests(false) {
        let model = LoadedModel::open(&fixture("tiny-f32.gguf"), &Backend::open(&device).unwrap(), &load()).unwrap();
        let mut scheduler = model.scheduler(2).unwrap();
        let requests = [request(0, 24), request(1, 24)];
        let first = scheduler.add(requests[0].clone()).unwrap();
        let (mut second, mut order, mut given) = (None, Vec::new(), BTreeMap::<SequenceId, Vec<TokenId>>::new());
        while !scheduler.is_empty() {
            for event in scheduler.step().unwrap() {
                let Event::Token { sequence, id } = event else { continue };
                order.push(sequence);
                given.entry(sequence).or_default().push(id);
                // The other one comes while the first is in the middle of its answer.
                if second.is_none() && order.len() == 6 {
                    second = Some(scheduler.add(requests[1].clone()).unwrap());
                }
            }
        }
        let second = second.unwrap();
        assert_eq!((&given[&first], &given[&second]), (&alone(&model, &requests[0]), &alone(&model, &requests[1])), "{device:?}");
        // Once both decode neither gives two tokens before the other gives one.
        let (start, end) = (order.iter().position(|&s| s == second).unwrap(), order.iter().rposition(|&s| s == first).unwrap());
        assert!(end > start + 20, "{order:?}");
        assert!(order[start..end].windows(2).all(|pair| pair[0] != pair[1]), "{device:?}: {order:?}");
    }
}

/// Each conversation waits in the middle of its answer until the other one is in the middle of its own: they would wait for ever if an answer held
/// the model.
#[test]
fn two_conversations_in_two_threads_answer_at_the_same_time() {
    let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap();
    let model = LoadedModel::from_file(demo::open().unwrap(), &backend, &LoadRequest::default()).unwrap();
    let answer = |question: &str, (mine, other): (Sender<()>, Receiver<()>)| -> String {
        let mut chat = model.chat(None, ChatSettings::default(), None).unwrap();
        let mut n = 0;
        let answer = chat.ask(question, |_| {
            n += 1;
            if n == 3 {
                let _ = mine.send(());
                other.recv_timeout(Duration::from_secs(120)).expect("the other conversation never got so far");
            }
            ControlFlow::Continue(())
        });
        answer.unwrap().text
    };
    let ((to_first, of_first), (to_second, of_second)) = (channel(), channel());
    let (first, second) = std::thread::scope(|threads| {
        let first = threads.spawn(|| answer("Hello", (to_second, of_first)));
        let second = threads.spawn(|| answer(demo::QUESTION, (to_first, of_second)));
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!((&first[..], &second[..]), ("Hello! How can I help you today?", demo::ANSWER));
}

/// The GPU of this machine, lost when it has been given so many runs.
fn lost_after(runs: Option<u64>) -> Backend {
    let faults = Faults { lost_after: runs, ..Faults::default() };
    let executor = GpuExecutor::new(&GpuOptions { faults, allow_software: true, ..GpuOptions::default() }).unwrap();
    let (note, target) = (String::new(), executor.target());
    Backend { executor: SharedExecutor::new(executor), note, chunk: 16, is_cpu: false, precise: false, target, facts: Vec::new() }
}

fn is_lost(error: &EngineError) -> bool {
    matches!(error, EngineError::Exec { error: ExecError::DeviceLost(_), .. })
}

/// The tokens of sequences that are taken up again whenever their device is lost.
fn whatever_happens(path: &std::path::Path, requests: &[Request], runs: Option<u64>) -> (Vec<Vec<TokenId>>, usize) {
    let open = |runs| {
        let model = LoadedModel::open(path, &lost_after(runs), &load()).unwrap();
        let scheduler: Scheduler<ModelSteps> = model.scheduler(requests.len()).unwrap();
        scheduler
    };
    let mut scheduler = open(runs);
    let mut numbers: BTreeMap<SequenceId, usize> = BTreeMap::new();
    for (i, request) in requests.iter().enumerate() {
        numbers.insert(scheduler.add(request.clone()).unwrap(), i);
    }
    let (mut given, mut n_lost) = (vec![Vec::new(); requests.len()], 0);
    while !scheduler.is_empty() {
        let events = match scheduler.step() {
            Ok(events) => events,
            Err(error) => {
                assert!(is_lost(&error), "{error}");
                n_lost += 1;
                scheduler = open(runs);
                let left = (0..requests.len()).filter(|&i| given[i].len() < requests[i].max_tokens);
                numbers = left.map(|i| (scheduler.add(requests[i].after(&given[i])).unwrap(), i)).collect();
                continue;
            }
        };
        for event in events {
            match event {
                Event::Token { sequence, id } => given[numbers[&sequence]].push(id),
                Event::End { finish, .. } => assert_eq!(finish, Finish::Length),
                Event::Failed { reason, .. } => panic!("{reason}"),
            }
        }
    }
    (given, n_lost)
}

#[test]
fn sequences_go_on_from_their_tokens_when_the_device_is_lost() {
    if !gpu_is_there() {
        return;
    }
    let path = fixture("tiny-f32.gguf");
    let requests = [request(0, 14), request(1, 20), request(2, 9)];
    let (expected, n_lost) = whatever_happens(&path, &requests, None);
    assert_eq!((n_lost, expected.iter().map(Vec::len).collect::<Vec<_>>()), (0, vec![14, 20, 9]));
    let (given, n_lost) = whatever_happens(&path, &requests, Some(8));
    assert!(n_lost >= 2, "lost {n_lost} times");
    assert_eq!(given, expected);
}

fn ask(chat: &mut ChatSession<ModelSteps>, text: &str) -> Result<String, ChatError<EngineError>> {
    chat.ask(text, |_| ControlFlow::Continue(())).map(|answer| answer.text)
}

#[test]
fn a_conversation_goes_on_when_the_device_is_lost() {
    if !gpu_is_there() {
        return;
    }
    let open = |runs| LoadedModel::from_file(demo::open().unwrap(), &lost_after(runs), &LoadRequest::default()).unwrap();
    let settings = ChatSettings { max_tokens: 12, ..ChatSettings::default() };
    let questions = ["My name is Ada.", "What is my name?"];
    let whole = open(None);
    let mut chat = whole.chat(None, settings, None).unwrap();
    let expected = questions.map(|question| ask(&mut chat, question).unwrap());
    // The first answer needs fewer runs than there are, both together more.
    let first = open(None);
    let mut probe = first.chat(None, settings, None).unwrap();
    ask(&mut probe, questions[0]).unwrap();
    let runs = first.executor.lock().counters().steps + 2;
    let model = open(Some(runs));
    let mut chat = model.chat(None, settings, None).unwrap();
    assert_eq!(ask(&mut chat, questions[0]).unwrap(), expected[0]);
    let error = ask(&mut chat, questions[1]).unwrap_err();
    assert!(matches!(&error, ChatError::Engine(error) if is_lost(error)), "{error}");
    assert_eq!(chat.messages().len(), 2, "the question that got no answer is not kept");
    let again = open(None);
    chat.go_on_with(again.generator(0).unwrap());
    assert_eq!(ask(&mut chat, questions[1]).unwrap(), expected[1]);
}

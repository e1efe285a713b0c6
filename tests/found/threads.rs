//! The engine and what it hands out belong to no thread: they may be moved to another, and one model answers on several at once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use tensorlogic::cpu::CpuExecutor;
use tensorlogic::engine::{Backend, EngineHost, LoadRequest, LoadedModel, ModelSteps, Program, demo};
use tensorlogic::gpu::GpuExecutor;
use tensorlogic::graph::{Compiled, DeviceTensor, ExecError, SharedExecutor};
use tensorlogic::lang::{Interp, ModelProgram, Tensor, Value};
use tensorlogic::model::{ChatSession, ChatSettings, Generator};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::tensor::HostTensor;

use crate::support::{device_requests, fixture};

/// Fails to compile for what one thread must keep.
#[test]
fn the_engine_and_its_handles_may_be_moved_to_another_thread() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_send::<CpuExecutor>();
    is_send::<GpuExecutor>();
    is_send::<ReferenceExecutor>();
    is_send::<Generator<ModelSteps>>();
    is_send::<ChatSession<ModelSteps>>();
    is_send::<Interp>();
    is_send::<ModelProgram>();
    is_send::<Program>();
    is_send::<EngineHost>();
    is_shared::<Backend>();
    is_shared::<LoadedModel>();
    is_shared::<SharedExecutor>();
    is_shared::<DeviceTensor>();
    is_shared::<Compiled>();
    is_shared::<Tensor>();
    is_shared::<Value>();
    is_shared::<ExecError>();
}

fn ask(chat: &mut ChatSession<ModelSteps>, question: &str) -> String {
    chat.ask(question, |_| ControlFlow::Continue(())).unwrap().text
}

#[test]
fn a_chat_goes_on_in_another_thread() {
    for request in device_requests(false) {
        let mut chat = thread::spawn(move || {
            let backend = Backend::open(&request).unwrap();
            let model = LoadedModel::from_file(demo::open().unwrap(), &backend, &LoadRequest::default()).unwrap();
            let mut chat = model.chat(None, ChatSettings::default(), None).unwrap();
            assert_eq!(ask(&mut chat, "Hello"), "Hello! How can I help you today?");
            chat
        })
        .join()
        .unwrap();
        // The model and the backend went with the thread that opened them; the conversation holds what it needs.
        assert_eq!(ask(&mut chat, demo::QUESTION), demo::ANSWER);
    }
}

/// Greedy continuations on one executor, each with a cache of its own: none may see another's.
#[test]
fn one_model_answers_on_several_threads_at_once() {
    for request in device_requests(false) {
        let backend = Backend::open(&request).unwrap();
        let model = LoadedModel::open(&fixture("tiny-f32.gguf"), &backend, &LoadRequest::default()).unwrap();
        let prompts: Vec<Vec<_>> = (1..4u32).map(|n| (n..n + 5 * n).map(tensorlogic::text::TokenId).collect()).collect();
        let answer = |prompt: &[_]| {
            let mut drawn = Vec::new();
            let mut generator = model.generator(0).unwrap();
            let keep = |id| {
                drawn.push(id);
                ControlFlow::Continue(())
            };
            let sampling = tensorlogic::graph::Sampling::default();
            generator.generate(prompt, sampling, 24, |_| false, |_| ControlFlow::Continue(()), keep).unwrap();
            drawn
        };
        let alone: Vec<_> = prompts.iter().map(|prompt| answer(prompt)).collect();
        let together: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = prompts.iter().map(|prompt| scope.spawn(|| answer(prompt))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(together, alone, "{}", backend.note);
    }
}

#[test]
fn what_is_dropped_while_the_executor_is_at_work_is_freed_when_it_is_next_taken() {
    for request in device_requests(false) {
        let backend = Backend::open(&request).unwrap();
        let before = backend.executor.lock().counters().device_bytes;
        let model = LoadedModel::open(&fixture("tiny-f32.gguf"), &backend, &LoadRequest::default()).unwrap();
        let mut generator = model.generator(0).unwrap();
        let go_on = |_| ControlFlow::Continue(());
        let prompt = [tensorlogic::text::TokenId(1)];
        generator.generate(&prompt, tensorlogic::graph::Sampling::default(), 2, |_| false, go_on, |_| ControlFlow::Continue(())).unwrap();
        let mut held = backend.executor.lock();
        held.finish().unwrap();
        let with_model = held.counters().device_bytes;
        // On this thread, too, dropping must not wait for the executor.
        drop((model, generator));
        assert_eq!(held.counters().device_bytes, with_model);
        drop(held);
        let after = backend.executor.lock().counters().device_bytes;
        assert!(after < with_model, "{}: {before} bytes, {with_model} with the model, {after} without", backend.note);
    }
}

#[test]
fn a_program_computes_in_another_thread() {
    for request in device_requests(false) {
        let backend = Arc::new(Backend::open(&request).unwrap());
        let mut program =
            Program::run("double.tl", "let offset = [1.0, 2.0]\nfn double(x: float[N]) { x * 2.0 + offset }", &backend).unwrap();
        let doubled = thread::spawn(move || program.call("double", &[HostTensor::f32([2], vec![1.0, 3.0])]).unwrap()).join().unwrap();
        assert_eq!(doubled.as_f32().unwrap(), [3.0, 8.0]);
    }
}

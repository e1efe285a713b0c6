//! What a program that embeds the engine can tell apart without reading a message.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineError, LoadRequest, LoadedModel, ModelSteps, demo};
use tensorlogic::graph::{ExecError, Sampling};
use tensorlogic::model::{ChatError, ChatSettings, GenerateError, Generator, ModelError, WindowError};
use tensorlogic::text::TokenId;

use crate::support::fixture;

fn cpu() -> Backend {
    Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap()
}

fn load(backend: &Backend, request: &LoadRequest) -> Result<LoadedModel, EngineError> {
    LoadedModel::open(&fixture("tiny-f32.gguf"), backend, request)
}

fn generate(generator: &mut Generator<ModelSteps>, ids: &[TokenId]) -> Result<(), EngineError> {
    let go_on = |_| ControlFlow::Continue(());
    generator.generate(ids, Sampling::default(), 4, |_| false, go_on, |_| ControlFlow::Continue(())).map(|_| ())
}

#[test]
fn errors_of_loading_are_told_apart() {
    let backend = cpu();
    let program = load(&backend, &LoadRequest { arch: Some("/nowhere/arch.tl".into()), ..LoadRequest::default() });
    assert!(matches!(program, Err(EngineError::Model(ModelError::Program(_)))));
    let absent = LoadedModel::open("/nowhere/model.gguf".as_ref(), &backend, &LoadRequest::default());
    assert!(matches!(absent, Err(EngineError::Format(_))));
    let model = load(&backend, &LoadRequest { window: Some(0), ..LoadRequest::default() }).unwrap();
    assert!(matches!(model.generator(0), Err(EngineError::Window(WindowError::OutOfBounds { window: 0, .. }))));
    let model = load(&backend, &LoadRequest { window: Some(8), sinks: Some(9), ..LoadRequest::default() }).unwrap();
    assert!(matches!(model.generator(0), Err(EngineError::Window(WindowError::TooManySinks { sinks: 9, window: 8 }))));
}

#[test]
fn errors_of_generating_are_told_apart() {
    let backend = cpu();
    let model = load(&backend, &LoadRequest::default()).unwrap();
    let mut generator = model.generator(0).unwrap();
    assert!(matches!(generate(&mut generator, &[]), Err(EngineError::Generate(GenerateError::EmptyPrompt))));
    let flag = Arc::new(AtomicBool::new(true));
    backend.executor.lock().watch_interrupt(&flag);
    assert!(matches!(generate(&mut generator, &[TokenId(1)]), Err(EngineError::Exec { error: ExecError::Interrupted, .. })));
    let backend = cpu();
    let request = LoadRequest { window: Some(48), ..LoadRequest::default() };
    let model = LoadedModel::from_file(demo::open().unwrap(), &backend, &request).unwrap();
    let mut chat = model.chat(None, ChatSettings::default(), None).unwrap();
    let error = chat.ask(&"hello ".repeat(100), |_| ControlFlow::Continue(())).map(|_| ()).map_err(EngineError::from).unwrap_err();
    let EngineError::Chat(error) = error else { panic!("{error}") };
    assert!(matches!(*error, ChatError::MessageTooLong { window: 48, .. }), "{error}");
}

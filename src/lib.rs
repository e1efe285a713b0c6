//! TensorLogic: a tensor language and the engine that runs it on any GPU through wgpu, or on the CPU.
//!
//! A chat with the small model that is built in (feature `demo`); [`LoadedModel::open`](engine::LoadedModel::open) takes a GGUF file or a
//! Hugging Face folder:
//!
//! ```
//! use std::ops::ControlFlow;
//! use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel, demo};
//! use tensorlogic::model::ChatSettings;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !demo::IS_BUILT_IN {
//! #     return Ok(());
//! # }
//! let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() })?;
//! let model = LoadedModel::from_file(demo::open()?, &backend, &LoadRequest::default())?;
//! let mut chat = model.chat(None, ChatSettings::default(), None)?;
//! let answer = chat.ask("Hello", |_event| ControlFlow::Continue(()))?;
//! assert_eq!(answer.text, "Hello! How can I help you today?");
//! # Ok(())
//! # }
//! ```
//!
//! Several prompts are decoded together by a [`Scheduler`](model::Scheduler), as `examples/batch.rs` does: whoever wants tokens calls its `step`, and a
//! sequence whose device was lost goes on elsewhere from its tokens ([`Request::after`](model::Request::after)).
//!
//! A program of the language, whose functions take and give tensors:
//!
//! ```
//! use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, Program};
//! use tensorlogic::tensor::HostTensor;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() })?;
//! let mut program = Program::run("norm.tl", "fn norm(x: float[N]) -> float { sqrt(sum(x * x)) }", &backend)?;
//! let norm = program.call("norm", &[HostTensor::f32([2], vec![3.0, 4.0])])?;
//! assert_eq!(norm.value(0), 5.0);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | brings | by default |
//! |---|---|---|
//! | `cli` | the binary `tl`, and what its command line needs of other crates | yes |
//! | `demo` | the chat model of 3 MB inside the library, [`engine::demo`] | yes |
//!
//! A program that embeds the engine takes `default-features = false`.
//!
//! # Modules
//!
//! [`engine`] opens devices and loads models, [`model`] generates and chats, [`lang`] runs programs; [`tensor`], [`graph`], [`mod@format`] and
//! [`text`] hold what these take and give. The others are the stages in between, and the tools that look into them. `ARCHITECTURE.md` is the map of
//! the modules and the invariants that hold between them.

pub mod bench;
pub mod cpu;
pub mod diag;
pub mod doctor;
pub mod engine;
// Public for the binary `tl`: an embedder sets what it wants in `engine::DeviceRequest` and `engine::LoadRequest`.
#[doc(hidden)]
pub mod environment;
pub mod explain;
pub mod format;
pub mod gpu;
pub mod graph;
pub mod lang;
pub mod model;
pub mod output;
pub mod plan;
pub mod reference;
pub mod source;
pub mod syntax;
pub mod tensor;
pub mod text;
pub mod trace;

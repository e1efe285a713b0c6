//! The one place where language, model and device meet.

mod backend;
mod batches;
mod beams;
mod chat;
mod checkup;
mod code;
mod constants;
pub mod demo;
mod devices;
mod draft;
mod fit;
mod forward;
mod host;
mod measure;
mod model;
mod program;
mod step_paths;
mod steps;
mod vocabulary;

pub use backend::{Backend, BackendChoice, DeviceRequest};
pub use checkup::examine;
pub use devices::DeviceEntry;
pub use fit::built_in_program;
pub use forward::TracePoint;
pub use host::EngineHost;
pub use measure::{BenchRequest, measure};
pub use model::{LoadRequest, LoadedModel};
pub use program::Program;
pub use step_paths::processor_seconds;
pub use steps::ModelSteps;

use crate::diag::Diagnostic;
use crate::format::FormatError;
use crate::graph::ExecError;
use crate::lang::ProgramError;
use crate::model::{ChatError, GenerateError, ModelError, WindowError};
use crate::text::sampling::SamplingError;
use crate::text::{TemplateError, TokenizerError};
use crate::trace::TraceError;

/// Whatever keeps a model from being loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No usable device, or a named one is absent. The message lists what is there.
    #[error("{0}")]
    NoDevice(String),
    #[error("this build has no built-in model: give the path of a model, or build with the feature `demo`")]
    NoBuiltInModel,
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Window(#[from] WindowError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A failure of the backend, with the step's place in the program where it has one. `message` names the place.
    #[error("{message}")]
    Exec { error: ExecError, message: String, diagnostic: Option<Box<Diagnostic>> },
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A turn of a conversation got no answer, and the engine is not the reason.
    #[error(transparent)]
    Chat(Box<ChatError<EngineError>>),
}

impl From<ChatError<EngineError>> for EngineError {
    fn from(error: ChatError<EngineError>) -> Self {
        match error {
            ChatError::Engine(error) => error,
            error => EngineError::Chat(Box::new(error)),
        }
    }
}

impl From<ExecError> for EngineError {
    fn from(error: ExecError) -> Self {
        EngineError::Exec { message: error.to_string(), error, diagnostic: None }
    }
}

//! The language: values, scopes, evaluation and the library.
//!
//! [`Interp`] runs programs. [`ModelProgram`] traces a model's `forward` into a graph that the engine compiles. Tensors are
//! nodes of a lazy graph ([`session`]); the engine is reached through [`Host`] and `graph::Executor` alone.

mod architectures;
pub mod builtins;
pub mod doc;
mod embed;
mod eval;
mod format;
mod hir;
mod host;
mod interp;
mod model;
mod program;
mod random;
mod resolve;
pub mod session;
mod stack;
mod stdlib;
mod tensor_use;
mod trace;
mod types;
mod value;

pub use crate::graph::SharedExecutor;
pub use architectures::Architectures;
pub use host::{ChatRequest, DraftRequest, DraftSource, EngineCache, EngineChat, EngineModel, Host, ModelCache, ModelHandle};
pub use interp::{Interp, Options, Shown, TestOutcome};
pub use model::ModelSource;
pub use program::{ModelProgram, ProgramError, StepOutput, TraceSpec, Traced};
pub use session::{Session, Tensor};
pub use stack::{address_space, on_deep_stack};
pub use tensor_use::layer_of;
pub use trace::CacheShape;
pub use value::Value;

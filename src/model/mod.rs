//! A loaded model on an executor: its configuration, its weights, what its cache holds, and the loop that generates.

mod beams;
mod cache_plan;
mod chat;
mod completions;
mod config;
mod context;
mod draft;
mod error;
mod generate;
mod scheduler;
mod stop_filter;
mod transcript;
mod verify;
mod weights;

pub use beams::{Beam, BeamRequest, beam_search};
pub use cache_plan::{CacheRequest, SINKS_MIN, WindowError};
pub use chat::{Answer, ChatError, ChatEvent, ChatSession, ChatSettings};
pub use completions::{Completion, CompletionsRequest, Progress, complete};
pub use config::ModelConfig;
pub use context::Context;
pub use draft::{DRAFT_MAX, Drafter, ModelDrafter, NgramDrafter};
pub use error::ModelError;
pub use generate::{Finish, GenerateError, Generator, StepPrograms, Timing};
pub use scheduler::{Event, Request, Scheduler, SchedulerCounts, SchedulerOptions, SequenceId};
pub use weights::ModelWeights;

//! Seeing inside a run: the values of every named step, held against a reference, and why the first step that differs may do so.
//!
//! [`record`] runs a graph unfused with its labelled nodes as outputs and gives a [`Trace`]; [`compare()`] holds one against a
//! [`Reference`]: a file, the definition in f64, another backend, or another run; [`diagnose()`] blames a step and says why. Everything here returns values; the command line prints.

mod blame;
mod cache_type;
mod compare;
mod consistency;
mod cut;
mod describe;
mod diagnose;
mod formula;
mod hypothesis;
mod measure;
mod missing;
mod names;
mod pattern;
mod reason;
mod record;
mod reference_file;
mod save;
mod shapes;
mod stats;
mod tokens;
mod verdict;

pub use compare::{Comparison, Outcome, Rounding, StepComparison, Tolerance, compare};
pub use consistency::ProgramCheck;
pub use cut::copy_node;
pub use diagnose::{Diagnosis, diagnose, local_error};
pub use measure::{Errors, measure};
pub use names::{StepName, canonical};
pub use reason::{Reason, ReasonKind};
pub use record::{Request, Select, Step, Trace, record, with_unread_steps};
pub use reference_file::Reference;
pub use save::to_safetensors;
pub use stats::Stats;
pub use verdict::Verdict;

use crate::format::FormatError;
use crate::graph::ExecError;

/// Why a trace or a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error(transparent)]
    Exec(#[from] ExecError),
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A mapping file that is no JSON object from our names to theirs, or names what is not there.
    #[error("{0}")]
    Mapping(String),
    /// The graph has nothing to trace.
    #[error("{0}")]
    Empty(String),
}

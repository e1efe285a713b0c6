//! The op graph that a program builds, and the interface through which a backend runs it.
//!
//! A [`Graph`] is an append-only arena of [`Node`]s in topological order. It holds no device and does no I/O: weights are
//! descriptors that name their bytes. [`Executor`] is how the language and the model reach a backend.

mod build;
mod cache;
mod compiled;
mod einsum;
mod executor;
mod infer;
mod key;
pub mod math;
mod no_choice;
mod node;
mod op;
mod pages;
pub mod philox;
mod prefixes;
mod programs;
mod rope;
mod scalar;
mod sequences;
mod shared;
mod tokens;
mod weight;

pub use build::GraphError;
pub use cache::{CacheSpec, KvType, PAGE};
pub use compiled::Compiled;
pub use einsum::EinsumSpec;
pub use executor::{
    Bandwidth, Binding, CacheId, CacheUse, CompileOptions, Counters, DeviceTensor, DeviceTime, ExecError, Executor, ProgramId, Released,
    RunArgs, Segment, StepTimes, TuneReport, Tuned,
};
pub use key::GraphKey;
pub use no_choice::NoChoice;
pub use node::{Alias, Graph, InputId, Node, NodeId, Origin};
pub use op::{BinaryOp, Op, RandomKind, ReduceOp, RopeRowsKind, UnaryOp};
pub use pages::{PageCopy, PageError, PagePool, PageTable};
pub use programs::{ProgramKey, Programs};
pub use rope::{RopeScaling, RopeSpec, RopeStyle, rope_rows};
pub use scalar::{CacheIdx, Literal, RuntimeScalar, Sampling, ScalarSource};
pub use sequences::{PagedSequence, Prepared, Sequences};
pub use shared::{SharedExecutor, Unused};
pub use tokens::TokenDim;
pub use weight::{Weight, WeightId, WeightSource};

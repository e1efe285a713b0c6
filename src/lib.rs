//! TensorLogic: a tensor language and the engine that runs it on any GPU through wgpu.
//!
//! `ARCHITECTURE.md` is the map of the modules and the invariants that hold between them.

pub mod bench;
pub mod cli;
pub mod cpu;
pub mod diag;
pub mod doctor;
pub mod engine;
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

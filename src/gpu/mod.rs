//! The GPU backend: plans recorded as dispatches of WGSL kernels through wgpu.
//!
//! A [`crate::plan::Plan`] is lowered to dispatches (`lower`), whose kernels are assembled from `shaders/wgsl` (`assemble`) and compiled
//! once (`pipelines`). Weights are repacked as their format's fragment wants them (`quant`, `weights`). A run writes one block of numbers
//! (`params`), binds what changed (`recording`), encodes one pass (`submit`) and copies small outputs out (`readback`).

mod assemble;
mod bind_groups;
mod cache;
mod caps;
mod device;
mod errors;
mod executor;
pub mod lint;
mod lower;
mod options;
mod params;
mod pipelines;
mod pool;
mod quant;
mod readback;
mod recording;
mod submit;
mod translate;
mod tuning;
mod weights;

pub use caps::Caps;
pub use device::{AdapterSummary, Gpu, adapters};
pub use errors::GpuError;
pub use executor::GpuExecutor;
pub use options::{Faults, GpuOptions, KernelFault, Profile};
pub use translate::{Language, translate};

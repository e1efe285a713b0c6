//! The GPU backend: plans recorded as dispatches of WGSL kernels through wgpu.
//!
//! A [`crate::plan::Plan`] is lowered to dispatches (`lower`), whose kernels are assembled from `shaders/wgsl` (`assemble`, `shaders`) and
//! compiled once (`pipelines`). What a dispatch gives its kernel is held to what the kernel declares, by name (`contract`). Weights are repacked
//! as their format's fragment wants them (`quant`, `weights`). A run writes one block of numbers (`params`), binds what changed (`recording`),
//! encodes one pass (`submit`) and copies small outputs out (`readback`); short runs that follow one another share a submit (`held`). On Vulkan
//! the pass of a repeated short run is recorded once (`bound`, `vulkan`).

mod assemble;
mod bandwidth;
mod bind_groups;
mod bound;
mod cache;
mod caps;
mod contract;
mod device;
mod disk;
mod errors;
mod executor;
mod held;
mod limits;
pub mod lint;
mod lower;
mod options;
mod params;
mod pipelines;
mod pool;
mod prune;
mod quant;
mod readback;
mod recording;
mod run_clock;
mod shaders;
mod submit;
mod ticks;
mod timer;
mod translate;
mod tune;
mod tuning;
mod variants;
#[cfg_attr(target_vendor = "apple", path = "vulkan/absent.rs")]
mod vulkan;
mod weights;

pub use caps::Caps;
pub use device::{AdapterSummary, Gpu, adapters};
pub use disk::cache_dir;
pub use errors::GpuError;
pub use executor::GpuExecutor;
pub use options::{Faults, GpuOptions, KernelFault, Profile};
pub use quant::{Quants, Rows, WeightFormat, add_weight_format};
pub use translate::{Language, translate};
pub use variants::Variant;

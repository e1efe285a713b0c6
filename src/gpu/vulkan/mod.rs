//! Vulkan's own command buffers, below wgpu: a run's dispatches recorded once and executed by each run. wgpu encodes a run anew each time,
//! which takes a processor longer than a short run takes a fast device.
//!
//! wgpu keeps the device, the buffers, the queue and what is uploaded and read back. Here are pipelines of the same modules, sets of the same
//! buffers and secondary command buffers, which encoders of wgpu execute; it does not see what these do, so each begins and ends with a
//! barrier for all memory. Metal and DX12 have nothing of the kind that wgpu's buffers could be used in.

mod device;
mod hazards;
mod kernel;
mod secondary;

pub use device::{RawDevice, memory_bytes};
pub use kernel::Kernel;
pub use secondary::{Command, Secondary};

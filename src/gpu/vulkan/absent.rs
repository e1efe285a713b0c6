//! Where wgpu has no Vulkan there is nothing to record with: types without values, in place of `vulkan/mod.rs`.

#![allow(dead_code, reason = "nothing is recorded here, so that nothing reads what would be")]

use std::sync::Arc;

use super::bind_groups::BufferRange;
use super::pipelines::BindingKind;

pub fn memory_bytes(_: &wgpu::Adapter) -> Option<u64> {
    None
}

pub enum RawDevice {}

impl RawDevice {
    pub fn of(_: &wgpu::Device) -> Option<Arc<RawDevice>> {
        None
    }
}

pub enum Kernel {}

impl Kernel {
    pub fn new(device: &Arc<RawDevice>, _: &naga::Module, _: &[(u32, BindingKind)], _: u32) -> Result<Kernel, String> {
        match **device {}
    }
}

pub struct Command<'a> {
    pub kernel: Arc<Kernel>,
    /// What the n-th binding is.
    pub bindings: Vec<(BindingKind, BufferRange)>,
    pub immediates: &'a [u8],
    pub grid: [u32; 3],
}

pub enum Secondary {}

impl Secondary {
    pub fn record(device: &Arc<RawDevice>, _: &[Command]) -> Result<Secondary, String> {
        match **device {}
    }

    pub fn execute(&self, _: &mut wgpu::CommandEncoder) {
        match *self {}
    }

    pub fn submitted(&self, _: &wgpu::SubmissionIndex) {
        match *self {}
    }
}

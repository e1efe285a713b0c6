//! A run's dispatches in a secondary command buffer, which any number of encoders execute.

use std::collections::HashSet;
use std::sync::Arc;

use ash::vk;
use parking_lot::Mutex;
use wgpu::hal::api::Vulkan;

use super::RawDevice;
use super::hazards::Hazards;
use super::kernel::{IMMEDIATE_STAGES, Kernel, descriptor_type};
use crate::gpu::bind_groups::BufferRange;
use crate::gpu::pipelines::BindingKind;

/// A dispatch to record.
pub struct Command<'a> {
    pub kernel: Arc<Kernel>,
    /// What the n-th binding is.
    pub bindings: Vec<(BindingKind, BufferRange)>,
    pub immediates: &'a [u8],
    pub grid: [u32; 3],
}

/// A recorded command buffer, with all that it uses.
pub struct Secondary {
    device: Arc<RawDevice>,
    commands: vk::CommandPool,
    sets: vk::DescriptorPool,
    buffer: vk::CommandBuffer,
    /// The last submit that executes it.
    last: Mutex<Option<wgpu::SubmissionIndex>>,
    _kernels: Vec<Arc<Kernel>>,
    _buffers: HashSet<wgpu::Buffer>,
}

impl Secondary {
    /// Records dispatches, one at least, each after those whose results it needs.
    ///
    /// # Errors
    /// When the driver is out of memory, or the device was lost.
    pub fn record(device: &Arc<RawDevice>, commands: &[Command]) -> Result<Secondary, String> {
        let mut secondary = Secondary {
            device: device.clone(),
            commands: vk::CommandPool::null(),
            sets: vk::DescriptorPool::null(),
            buffer: vk::CommandBuffer::null(),
            last: Mutex::new(None),
            _kernels: commands.iter().map(|c| c.kernel.clone()).collect(),
            _buffers: commands.iter().flat_map(|c| c.bindings.iter().map(|(_, range)| range.buffer.buffer.clone())).collect(),
        };
        secondary.write(commands).map_err(|e| e.to_string())?;
        Ok(secondary)
    }

    fn write(&mut self, commands: &[Command]) -> Result<(), vk::Result> {
        let device = self.device.clone();
        let raw = &device.raw;
        let of_commands = vk::CommandPoolCreateInfo::default().queue_family_index(self.device.queue_family);
        // SAFETY: here and below: the structures and what they point to are valid for the call, and all handles are of this device.
        self.commands = unsafe { raw.create_command_pool(&of_commands, None) }?;
        let of_buffer = vk::CommandBufferAllocateInfo::default().command_pool(self.commands).level(vk::CommandBufferLevel::SECONDARY);
        // SAFETY: as above; one buffer is asked for and one comes.
        self.buffer = unsafe { raw.allocate_command_buffers(&of_buffer.command_buffer_count(1)) }?[0];
        let sets = self.allocate_sets(commands)?;
        let inheritance = vk::CommandBufferInheritanceInfo::default();
        // Runs follow one another, so a second execution is under way before the first has ended.
        let usage = vk::CommandBufferUsageFlags::SIMULTANEOUS_USE;
        let of_recording = vk::CommandBufferBeginInfo::default().flags(usage).inheritance_info(&inheritance);
        // SAFETY: as above.
        unsafe { raw.begin_command_buffer(self.buffer, &of_recording) }?;
        self.barrier(Around::OTHERS, Around::OTHERS);
        let mut hazards = Hazards::new();
        for (command, set) in commands.iter().zip(sets) {
            if hazards.wait(command.bindings.iter().map(|(kind, range)| (range.buffer.id, *kind == BindingKind::ReadWrite))) {
                self.barrier(Around::KERNELS, Around::KERNELS);
            }
            let (layout, point, [x, y, z]) = (command.kernel.layout, vk::PipelineBindPoint::COMPUTE, command.grid);
            // SAFETY: as above; the set was written for this layout, the immediates fit into its range, and the grid is within the limits
            // that lowering keeps to.
            unsafe {
                raw.cmd_bind_pipeline(self.buffer, point, command.kernel.pipeline);
                raw.cmd_bind_descriptor_sets(self.buffer, point, layout, 0, &[set], &[]);
                if !command.immediates.is_empty() {
                    raw.cmd_push_constants(self.buffer, layout, IMMEDIATE_STAGES, 0, command.immediates);
                }
                raw.cmd_dispatch(self.buffer, x, y, z);
            }
        }
        self.barrier(Around::KERNELS, Around::OTHERS);
        // SAFETY: as above.
        unsafe { raw.end_command_buffer(self.buffer) }
    }

    /// A descriptor set for each dispatch.
    fn allocate_sets(&mut self, commands: &[Command]) -> Result<Vec<vk::DescriptorSet>, vk::Result> {
        let device = self.device.clone();
        let raw = &device.raw;
        let kinds = || commands.iter().flat_map(|c| &c.bindings).map(|(kind, _)| descriptor_type(*kind));
        let size_of = |ty| {
            let count = kinds().filter(|kind| *kind == ty).count() as u32;
            // A pool takes no size of 0.
            vk::DescriptorPoolSize { ty, descriptor_count: count.max(1) }
        };
        let sizes = [vk::DescriptorType::UNIFORM_BUFFER, vk::DescriptorType::STORAGE_BUFFER].map(size_of);
        let of_sets = vk::DescriptorPoolCreateInfo::default().max_sets(commands.len() as u32).pool_sizes(&sizes);
        // SAFETY: here and below: the structures and what they point to are valid for the call, and all handles are of this device.
        self.sets = unsafe { raw.create_descriptor_pool(&of_sets, None) }?;
        let layouts: Vec<vk::DescriptorSetLayout> = commands.iter().map(|c| c.kernel.set_layout).collect();
        let asked = vk::DescriptorSetAllocateInfo::default().descriptor_pool(self.sets).set_layouts(&layouts);
        // SAFETY: as above.
        let sets = unsafe { raw.allocate_descriptor_sets(&asked) }?;
        for (command, set) in commands.iter().zip(&sets) {
            let ranges = command.bindings.iter().map(|(_, range)| range_of(range).map(|range| [range])).collect::<Result<Vec<_>, _>>()?;
            let mut writes = Vec::with_capacity(ranges.len());
            for (((kind, _), range), n) in command.bindings.iter().zip(&ranges).zip(0..) {
                let write = vk::WriteDescriptorSet::default().dst_set(*set).dst_binding(n);
                writes.push(write.descriptor_type(descriptor_type(*kind)).buffer_info(range));
            }
            // SAFETY: as above; no command buffer uses the sets yet, and `_buffers` keeps the buffers.
            unsafe { raw.update_descriptor_sets(&writes, &[]) };
        }
        Ok(sets)
    }

    fn barrier(&self, from: Around, to: Around) {
        let memory = [vk::MemoryBarrier::default().src_access_mask(from.writes).dst_access_mask(to.reads | to.writes)];
        // SAFETY: the buffer is being recorded.
        unsafe {
            let none = vk::DependencyFlags::empty();
            self.device.raw.cmd_pipeline_barrier(self.buffer, from.stages, to.stages, none, &memory, &[], &[]);
        }
    }

    /// Executes the dispatches as all that an encoder does.
    pub fn execute(&self, encoder: &mut wgpu::CommandEncoder) {
        // SAFETY: the command buffer is recorded for any number of executions, on a queue of the family that wgpu's is of; it lives until the
        // submit that is told to `submitted` has ended.
        unsafe {
            encoder.as_hal_mut::<Vulkan, _, _>(|encoder| {
                if let Some(encoder) = encoder {
                    self.device.raw.cmd_execute_commands(encoder.raw_handle(), &[self.buffer]);
                }
            });
        }
    }

    /// Says which submit has an encoder that executes it.
    pub fn submitted(&self, submission: &wgpu::SubmissionIndex) {
        *self.last.lock() = Some(submission.clone());
    }
}

impl Drop for Secondary {
    fn drop(&mut self) {
        if let Some(submission) = self.last.get_mut().take() {
            let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
            let device = &self.device.device;
            // A submit that failed cannot be waited for, those before it can.
            if let Err(error) = device.poll(wait).or_else(|_| device.poll(wgpu::PollType::wait_indefinitely())) {
                log::debug!("a command buffer is dropped without waiting: {error}");
            }
        }
        let raw = &self.device.raw;
        // SAFETY: the device is done with the last execution, or lost; null handles are ignored.
        unsafe {
            raw.destroy_command_pool(self.commands, None);
            raw.destroy_descriptor_pool(self.sets, None);
        }
    }
}

fn range_of(range: &BufferRange) -> Result<vk::DescriptorBufferInfo, vk::Result> {
    let whole = &range.buffer.buffer;
    // SAFETY: the handle is used while the buffer lives, which `Secondary` keeps.
    let raw = unsafe { whole.as_hal::<Vulkan>().map(|buffer| buffer.raw_handle()) };
    // wgpu destroys the buffers of a device that was lost.
    let buffer = raw.ok_or(vk::Result::ERROR_DEVICE_LOST)?;
    Ok(vk::DescriptorBufferInfo { buffer, offset: range.offset, range: range.size.unwrap_or(whole.size() - range.offset) })
}

/// Stages, and what they do to memory, on one side of a barrier.
#[derive(Clone, Copy)]
struct Around {
    stages: vk::PipelineStageFlags,
    reads: vk::AccessFlags,
    writes: vk::AccessFlags,
}

const fn both(a: vk::AccessFlags, b: vk::AccessFlags) -> vk::AccessFlags {
    vk::AccessFlags::from_raw(a.as_raw() | b.as_raw())
}

impl Around {
    /// Kernels of the run; none writes what another reads as a uniform.
    const KERNELS: Around = Around {
        stages: vk::PipelineStageFlags::COMPUTE_SHADER,
        reads: vk::AccessFlags::SHADER_READ,
        writes: vk::AccessFlags::SHADER_WRITE,
    };
    /// What wgpu encodes before and after: kernels and copies.
    const OTHERS: Around = Around {
        stages: vk::PipelineStageFlags::from_raw(
            vk::PipelineStageFlags::COMPUTE_SHADER.as_raw() | vk::PipelineStageFlags::TRANSFER.as_raw(),
        ),
        reads: both(both(vk::AccessFlags::SHADER_READ, vk::AccessFlags::UNIFORM_READ), vk::AccessFlags::TRANSFER_READ),
        writes: both(vk::AccessFlags::SHADER_WRITE, vk::AccessFlags::TRANSFER_WRITE),
    };
}

//! The Vulkan device behind wgpu's.

use std::sync::Arc;

use ash::vk;
use naga::back::spv::Capability;
use wgpu::hal::api::Vulkan;

/// Functions of a device, and what its modules may use.
pub struct RawDevice {
    pub raw: ash::Device,
    pub queue_family: u32,
    /// What modules may use, as wgpu allows its own.
    pub capabilities: Vec<Capability>,
    /// Subgroups of a pipeline may have any size that the device has, as in wgpu's.
    pub varying_subgroups: bool,
    /// Keeps the device open.
    pub device: wgpu::Device,
}

impl RawDevice {
    /// `None` where the device is not Vulkan's, or of a version before 1.3, which has integer dot products and sizes of subgroups.
    pub fn of(device: &wgpu::Device) -> Option<Arc<RawDevice>> {
        // SAFETY: nothing of wgpu's is destroyed through what is taken here.
        let hal = unsafe { device.as_hal::<Vulkan>() }?;
        let (instance, physical) = (hal.shared_instance().raw_instance(), hal.raw_physical_device());
        // SAFETY: the physical device is of this instance, which the device keeps.
        let properties = unsafe { instance.get_physical_device_properties(physical) };
        if properties.api_version < vk::API_VERSION_1_3 || hal.shared_instance().instance_api_version() < vk::API_VERSION_1_3 {
            return None;
        }
        let mut numbers = vk::PhysicalDeviceShaderFloat16Int8Features::default();
        let mut asked = vk::PhysicalDeviceFeatures2::default().push_next(&mut numbers);
        // SAFETY: as above; the structure chained is one of Vulkan 1.2.
        unsafe { instance.get_physical_device_features2(physical, &mut asked) };
        let features = device.features();
        let mut capabilities = vec![
            Capability::Shader,
            Capability::DotProduct,
            Capability::DotProductInputAll,
            Capability::DotProductInput4x8Bit,
            Capability::DotProductInput4x8BitPacked,
        ];
        // wgpu turns these on wherever the device has them.
        if numbers.shader_int8 == vk::TRUE {
            capabilities.push(Capability::Int8);
        }
        let mut allow = |feature, allowed: &[Capability]| {
            if features.contains(feature) {
                capabilities.extend(allowed);
            }
        };
        allow(
            wgpu::Features::SUBGROUP,
            &[
                Capability::GroupNonUniform,
                Capability::GroupNonUniformVote,
                Capability::GroupNonUniformArithmetic,
                Capability::GroupNonUniformBallot,
                Capability::GroupNonUniformShuffle,
                Capability::GroupNonUniformShuffleRelative,
                Capability::GroupNonUniformQuad,
            ],
        );
        allow(wgpu::Features::SHADER_F16, &[Capability::Float16]);
        allow(wgpu::Features::SHADER_INT64, &[Capability::Int64]);
        allow(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, &[Capability::CooperativeMatrixKHR, Capability::VulkanMemoryModel]);
        Some(Arc::new(RawDevice {
            raw: hal.raw_device().clone(),
            queue_family: hal.queue_family_index(),
            capabilities,
            varying_subgroups: features.contains(wgpu::Features::SUBGROUP),
            device: device.clone(),
        }))
    }
}

/// Bytes of an adapter's own memory; of all memory that it may take where it has none. `None` where the adapter is not Vulkan's.
pub fn memory_bytes(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: nothing of wgpu's is destroyed through what is taken here.
    let hal = unsafe { adapter.as_hal::<Vulkan>() }?;
    // SAFETY: the physical device is of this instance, which the adapter keeps.
    let memory = unsafe { hal.shared_instance().raw_instance().get_physical_device_memory_properties(hal.raw_physical_device()) };
    let heaps = &memory.memory_heaps[..memory.memory_heap_count as usize];
    let own = |heap: &&vk::MemoryHeap| heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL);
    heaps.iter().filter(own).map(|heap| heap.size).reduce(|a, b| a + b)
}

//! A pipeline of Vulkan for a kernel's module. Module and layout are as wgpu gives them to the driver, so that one that keeps what it compiled
//! finds it.

use std::sync::Arc;

use ash::vk;
use naga::back::spv;

use super::RawDevice;
use crate::gpu::pipelines::BindingKind;

/// Whose immediates a kernel's are said to be.
pub const IMMEDIATE_STAGES: vk::ShaderStageFlags = vk::ShaderStageFlags::ALL;

/// A pipeline with its layouts.
pub struct Kernel {
    device: Arc<RawDevice>,
    pub set_layout: vk::DescriptorSetLayout,
    pub layout: vk::PipelineLayout,
    pub pipeline: vk::Pipeline,
}

impl Kernel {
    /// Compiles a module that uses these buffers, the n-th of them at binding n, and up to `immediate_bytes` of immediates.
    ///
    /// # Errors
    /// When the module cannot be translated or the driver refuses it.
    pub fn new(
        device: &Arc<RawDevice>,
        module: &naga::Module,
        bindings: &[(u32, BindingKind)],
        immediate_bytes: u32,
    ) -> Result<Kernel, String> {
        let words = spirv(device, module, bindings)?;
        // What is made so far goes with the kernel, whatever fails later.
        let mut kernel = Kernel {
            device: device.clone(),
            set_layout: vk::DescriptorSetLayout::null(),
            layout: vk::PipelineLayout::null(),
            pipeline: vk::Pipeline::null(),
        };
        let raw = &device.raw;
        let of_set: Vec<vk::DescriptorSetLayoutBinding> = bindings
            .iter()
            .zip(0..)
            .map(|(&(_, kind), n)| {
                let of_binding = vk::DescriptorSetLayoutBinding::default().binding(n).descriptor_type(descriptor_type(kind));
                of_binding.descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let of_set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&of_set);
        // SAFETY: here and below: the structures and what they point to are valid for the call, and all handles are of this device.
        kernel.set_layout = unsafe { raw.create_descriptor_set_layout(&of_set, None) }.map_err(|e| e.to_string())?;
        let set_layouts = [kernel.set_layout];
        let immediates = [vk::PushConstantRange::default().stage_flags(IMMEDIATE_STAGES).size(immediate_bytes)];
        let of_layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&set_layouts);
        let of_layout = if immediate_bytes > 0 { of_layout.push_constant_ranges(&immediates) } else { of_layout };
        // SAFETY: as above.
        kernel.layout = unsafe { raw.create_pipeline_layout(&of_layout, None) }.map_err(|e| e.to_string())?;
        let of_module = vk::ShaderModuleCreateInfo::default().code(&words);
        // SAFETY: as above; naga wrote the words from a valid module, with what the device allows.
        let shader = unsafe { raw.create_shader_module(&of_module, None) }.map_err(|e| e.to_string())?;
        let mut of_stage = vk::PipelineShaderStageCreateInfo::default().stage(vk::ShaderStageFlags::COMPUTE).module(shader).name(c"main");
        if device.varying_subgroups {
            of_stage = of_stage.flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE);
        }
        let of_pipeline = [vk::ComputePipelineCreateInfo::default().stage(of_stage).layout(kernel.layout)];
        // SAFETY: as above; a pipeline does not need its module once it is made.
        let made = unsafe {
            let made = raw.create_compute_pipelines(vk::PipelineCache::null(), &of_pipeline, None);
            raw.destroy_shader_module(shader, None);
            made
        };
        let pipelines = made.map_err(|(_, e)| e.to_string())?;
        kernel.pipeline = pipelines.into_iter().next().unwrap_or_default();
        Ok(kernel)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let raw = &self.device.raw;
        // SAFETY: command buffers keep their kernels, and wait for the device before they let go of them; null handles are ignored.
        unsafe {
            raw.destroy_pipeline(self.pipeline, None);
            raw.destroy_pipeline_layout(self.layout, None);
            raw.destroy_descriptor_set_layout(self.set_layout, None);
        }
    }
}

pub fn descriptor_type(kind: BindingKind) -> vk::DescriptorType {
    match kind {
        BindingKind::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
        BindingKind::Read | BindingKind::ReadWrite => vk::DescriptorType::STORAGE_BUFFER,
    }
}

/// The module as wgpu gives it to the driver where it is trusted: without checks of indices and loops.
fn spirv(device: &RawDevice, module: &naga::Module, bindings: &[(u32, BindingKind)]) -> Result<Vec<u32>, String> {
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
        .validate(module)
        .map_err(|e| e.into_inner().to_string())?;
    let nth = |(&(binding, _), n): (&(u32, BindingKind), u32)| {
        let place = spv::BindingInfo { descriptor_set: 0, binding: n, binding_array_size: None };
        (naga::ResourceBinding { group: 0, binding }, place)
    };
    let unchecked = naga::proc::BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        capabilities: Some(device.capabilities.iter().copied().collect()),
        bounds_check_policies: naga::proc::BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        // Of the edges of a stage, which kernels have none of.
        use_storage_input_output_16: false,
        binding_map: bindings.iter().zip(0..).map(nth).collect(),
        ..spv::Options::default()
    };
    spv::write_vec(module, &info, &options, None).map_err(|e| e.to_string())
}

//! What kernels may use on a device: its features and limits, cut down to what a profile or a switch leaves.

use super::assemble::Target;
use super::options::{GpuOptions, Profile};
use super::variants::Variant;
use crate::plan::Off;

/// What Vulkan promises of immediates where it has them; no kernel's numbers are longer.
const MOST_IMMEDIATE_BYTES: u32 = 128;

/// Features and limits that choose kernels and tiles.
#[derive(Clone, Debug)]
pub struct Caps {
    /// Invocations of a subgroup, where subgroups are usable and all have one size; 0 otherwise.
    pub subgroup: u32,
    /// The edge of the square matrices that matrix units multiply, f16 products with f32 sums: 16 or 8; 0 where there are none.
    pub matrix_edge: usize,
    /// Workgroups of one dispatch may read what others of it wrote, after a barrier.
    pub coherent: bool,
    /// Bytes that a dispatch brings along with its command.
    pub immediate_bytes: u32,
    pub timestamps: bool,
    /// 64-bit integers, where reading memory by them is faster.
    pub words_64: bool,
    pub pipeline_cache: bool,
    /// Bytes of one storage binding.
    pub max_binding: u64,
    pub max_buffer: u64,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    pub workgroup_threads: u32,
    pub workgroups_per_dimension: u32,
    /// A CPU behind a graphics interface: wide workgroups cost, gaps between dispatches do not.
    pub software: bool,
    /// Loops end after 65,535 rounds of a shader, as those of Mesa's llvmpipe do, under whatever profile.
    pub ends_loops: bool,
    /// Activations may be rounded to eight bits.
    pub int8: bool,
    /// Devices multiply four pairs of bytes at once, so that rounding is the default: all but those of Metal.
    pub dot_products: bool,
    /// Kernel variants to do without.
    pub off: Off<Variant>,
}

impl Caps {
    /// Whether kernels of this variant may be chosen.
    pub fn uses(&self, variant: Variant) -> bool {
        !self.off.has(variant)
    }

    pub fn new(device: &wgpu::Device, info: &wgpu::AdapterInfo, options: &GpuOptions) -> Self {
        let (features, limits) = (device.features(), device.limits());
        let (least, most) = subgroup_sizes(info);
        let usable = features.contains(wgpu::Features::SUBGROUP) && least == most && least.is_power_of_two() && least >= 4;
        let software = is_software(info, options);
        let uses = |variant: Variant| !options.kernels.has(variant);
        let has_matrices = least == 32
            && features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
            && limits.max_compute_workgroup_storage_size >= 32 << 10;
        let edge = options.faults.matrix_edge.or(has_matrices.then(|| matrix_edge(info, options)));
        // What their kernels take besides: up to eight invocations of a subgroup share a query.
        let takes = usable && least >= 8 && features.contains(wgpu::Features::SHADER_F16);
        let edge = edge.filter(|_| takes && !software && !options.precise && uses(Variant::Cooperative));
        let immediates = features.contains(wgpu::Features::IMMEDIATES) && uses(Variant::Immediates);
        Caps {
            words_64: software && features.contains(wgpu::Features::SHADER_INT64) && uses(Variant::Words64),
            matrix_edge: edge.unwrap_or(0),
            subgroup: if usable { least } else { 0 },
            coherent: features.contains(wgpu::Features::MEMORY_DECORATION_COHERENT) && uses(Variant::JoinedAttention),
            immediate_bytes: if immediates { limits.max_immediate_size.min(MOST_IMMEDIATE_BYTES) } else { 0 },
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            pipeline_cache: features.contains(wgpu::Features::PIPELINE_CACHE),
            max_binding: limits.max_storage_buffer_binding_size.min(1 << 32) & !255,
            max_buffer: limits.max_buffer_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            workgroup_threads: limits.max_compute_invocations_per_workgroup,
            workgroups_per_dimension: limits.max_compute_workgroups_per_dimension.min(65_535),
            software,
            ends_loops: info.device_type == wgpu::DeviceType::Cpu,
            int8: !options.precise && uses(Variant::Int8),
            dot_products: !is_metal(info, options),
            off: options.kernels,
        }
    }

    /// What the text of kernels depends on.
    pub fn target(&self) -> Target {
        Target { subgroup: self.subgroup, software: self.software, words_64: self.words_64 }
    }
}

/// Under a profile a software adapter runs the kernels that the profile's devices run.
fn is_software(info: &wgpu::AdapterInfo, options: &GpuOptions) -> bool {
    info.device_type == wgpu::DeviceType::Cpu && options.profile.is_none() && options.faults.matrix_edge.is_none()
}

fn is_metal(info: &wgpu::AdapterInfo, options: &GpuOptions) -> bool {
    info.backend == wgpu::Backend::Metal || options.profile == Some(Profile::Metal)
}

/// The least and the greatest number of invocations in a subgroup.
pub fn subgroup_sizes(info: &wgpu::AdapterInfo) -> (u32, u32) {
    // wgpu says 4 to 64 of everything behind Metal. Apple's own GPUs have 32, which browsers rely on, too (gpuweb/gpuweb#6240); those of
    // other makers differ from kernel to kernel.
    match info.backend {
        wgpu::Backend::Metal if info.name.starts_with("Apple") => (32, 32),
        _ => (info.subgroup_min_size, info.subgroup_max_size),
    }
}

/// The features that kernels can use, of those that the adapter has and the options allow.
pub fn wanted_features(adapter: &wgpu::Adapter, options: &GpuOptions) -> wgpu::Features {
    use wgpu::Features;
    let mut wanted = Features::SUBGROUP
        | Features::TIMESTAMP_QUERY
        | Features::TIMESTAMP_QUERY_INSIDE_PASSES
        | Features::PIPELINE_CACHE
        | Features::IMMEDIATES;
    let info = adapter.get_info();
    // A barrier of Metal orders memory within a workgroup alone, coherent or not.
    if info.backend != wgpu::Backend::Metal {
        wanted |= Features::MEMORY_DECORATION_COHERENT;
    }
    match options.profile {
        // Apple's GPUs write timestamps between passes only.
        Some(Profile::Metal) => {
            wanted.remove(Features::PIPELINE_CACHE | Features::TIMESTAMP_QUERY_INSIDE_PASSES | Features::MEMORY_DECORATION_COHERENT);
        }
        Some(Profile::Dx12) => wanted.remove(Features::PIPELINE_CACHE),
        Some(Profile::WebGpu) => wanted = Features::empty(),
        None => {}
    }
    if is_software(&info, options) {
        wanted |= Features::SHADER_INT64;
    }
    if options.no_subgroups {
        wanted.remove(Features::SUBGROUP);
    }
    let imitated = options.profile.is_none_or(|profile| profile == Profile::Metal);
    let multiplies = imitated && wanted.contains(Features::SUBGROUP) && multiplies(adapter, matrix_edge(&info, options) as u32);
    if multiplies || options.faults.matrix_edge.is_some() {
        wanted |= Features::SHADER_F16 | Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    }
    wanted & adapter.features()
}

/// The edge of the matrices that kernels multiply on this backend, where the adapter has them; DX12 has none.
fn matrix_edge(info: &wgpu::AdapterInfo, options: &GpuOptions) -> usize {
    if is_metal(info, options) { 8 } else { 16 }
}

/// Whether the adapter multiplies f16 matrices of this edge and sums in f32.
fn multiplies(adapter: &wgpu::Adapter, edge: u32) -> bool {
    use wgpu::CooperativeScalarType as Scalar;
    let fits = |p: &wgpu::CooperativeMatrixProperties| {
        (p.m_size, p.n_size, p.k_size) == (edge, edge, edge) && p.ab_type == Scalar::F16 && p.cr_type == Scalar::F32
    };
    // The adapter that computes nothing lists no sizes; kernels are checked there whatever they need.
    let lists = adapter.get_info().backend == wgpu::Backend::Noop || adapter.cooperative_matrix_properties().iter().any(fits);
    lists && adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
}

/// The limits to ask for: the adapter's, cut down to the profile's.
pub fn wanted_limits(adapter: &wgpu::Adapter, options: &GpuOptions) -> wgpu::Limits {
    let mut limits = adapter.limits();
    let mut cap = |binding: u64, memory: u32, threads: u32| {
        limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(binding);
        limits.max_compute_workgroup_storage_size = limits.max_compute_workgroup_storage_size.min(memory);
        limits.max_compute_invocations_per_workgroup = limits.max_compute_invocations_per_workgroup.min(threads);
        limits.max_storage_buffers_per_shader_stage = limits.max_storage_buffers_per_shader_stage.min(8);
        limits.max_uniform_buffer_binding_size = limits.max_uniform_buffer_binding_size.min(65_536);
    };
    match options.profile {
        Some(Profile::Metal) => cap(1 << 32, 32 << 10, 1024),
        Some(Profile::Dx12) => cap(1 << 31, 32 << 10, 1024),
        Some(Profile::WebGpu) => cap(128 << 20, 16 << 10, 256),
        None => cap(u64::MAX, u32::MAX, u32::MAX),
    }
    if let Some(binding) = options.faults.binding_limit {
        limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(binding);
    }
    limits
}

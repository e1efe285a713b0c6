//! Choosing an adapter and opening its device.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::caps::{self, Caps};
use super::errors::{FaultState, GpuError};
use super::options::GpuOptions;
use super::tuning::Tuning;
use super::variants::Variant;
use super::vulkan::RawDevice;
use crate::graph::ExecError;

/// What the adapter that computes nothing says of its subgroups.
const NOOP_SUBGROUP: u32 = 32;

/// An adapter of this machine, as `tl devices` lists it.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    pub name: String,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: &'static str,
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Of the adapter's own memory; `None` where the backend does not say.
    pub memory_bytes: Option<u64>,
    pub max_binding_mb: u64,
    pub workgroup_memory_kb: u32,
    /// Smallest and largest subgroup; `(0, 0)` without subgroups.
    pub subgroups: (u32, u32),
    pub f16: bool,
    /// Whether these options would take it.
    pub chosen: bool,
}

/// An open device with its queue.
pub struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub info: wgpu::AdapterInfo,
    pub caps: Caps,
    pub tuning: Tuning,
    pub faults: FaultState,
    pub options: GpuOptions,
    /// Bytes allocated now and at most, and buffers made.
    pub allocated: Allocated,
    poison: OnceLock<Arc<CountedBuffer>>,
    /// What records command buffers, where the device has such.
    recorder: OnceLock<Option<Arc<RawDevice>>>,
    /// Command buffers recorded since the start.
    pub recorded: AtomicU64,
}

/// Bytes of the buffer that poison is copied from.
pub const POISON_BYTES: u64 = 1 << 20;

/// Counts of device memory, shared by all that allocate.
#[derive(Clone, Debug, Default)]
pub struct Allocated {
    bytes: Arc<AtomicU64>,
    peak: Arc<AtomicU64>,
    buffers: Arc<AtomicU64>,
}

/// A buffer whose bytes are counted while it lives.
#[derive(Debug)]
pub struct CountedBuffer {
    pub buffer: wgpu::Buffer,
    /// Unique in the process: what bind groups are cached by.
    pub id: u64,
    allocated: Allocated,
}

impl Drop for CountedBuffer {
    fn drop(&mut self) {
        self.allocated.bytes.fetch_sub(self.buffer.size(), Ordering::Relaxed);
    }
}

impl Allocated {
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Forgets what was allocated for a while since the peak was this.
    pub fn restore_peak(&self, peak: u64) {
        self.peak.store(peak.max(self.bytes()), Ordering::Relaxed);
    }

    pub fn buffers(&self) -> u64 {
        self.buffers.load(Ordering::Relaxed)
    }
}

impl Gpu {
    /// Opens the adapter that the options name, or the best real GPU.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(options: &GpuOptions) -> Result<Gpu, GpuError> {
        if let Some(invalid) = &options.invalid {
            return Err(invalid.clone().into());
        }
        let adapters = enumerate(options);
        let Some(adapter) = choose(&adapters, options) else {
            let present: Vec<String> = adapters.iter().map(|a| title(&a.get_info())).collect();
            let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
            return Err(GpuError::NoAdapter { asked: asked_for(options), present });
        };
        let info = adapter.get_info();
        let required_features = caps::wanted_features(adapter, options);
        let experimental_features = if required_features.intersects(wgpu::Features::all_experimental_mask()) {
            // SAFETY: kernels with cooperative matrices load and store whole tiles within workgroup memory, in uniform control flow; `tl
            // doctor` checks them against the definition.
            unsafe { wgpu::ExperimentalFeatures::enabled() }
        } else {
            wgpu::ExperimentalFeatures::disabled()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tensorlogic"),
            required_features,
            required_limits: caps::wanted_limits(adapter, options),
            experimental_features,
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|e| GpuError::Open { adapter: title(&info), message: super::errors::first_lines(&e.to_string()) })?;
        let faults = FaultState::default();
        faults.attach(&device);
        let caps = Caps::new(&device, &info, options);
        let (options, allocated, poison) = (options.clone(), Allocated::default(), OnceLock::new());
        let tuning = Tuning::default();
        let (recorder, recorded) = (OnceLock::new(), AtomicU64::new(0));
        Ok(Gpu { device, queue, info, caps, tuning, faults, options, allocated, poison, recorder, recorded })
    }

    /// What records the dispatches of repeated runs: nothing where that saves nothing, as on software adapters, whose kernels take long to
    /// compile, and for kernels with runtime checks, which are wgpu's.
    pub fn recorder(&self) -> Option<&Arc<RawDevice>> {
        let wanted = self.caps.uses(Variant::SecondaryBuffers) && !self.caps.software && !self.options.checks;
        if wanted { self.recorder.get_or_init(|| RawDevice::of(&self.device)).as_ref() } else { None }
    }

    /// `vulkan: NVIDIA H200`
    pub fn describe(&self) -> String {
        title(&self.info)
    }

    /// A buffer of ones, made when it is first asked for, so that a warm step in poison mode makes nothing either.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn poison(&self) -> Result<Arc<CountedBuffer>, ExecError> {
        if let Some(buffer) = self.poison.get() {
            return Ok(buffer.clone());
        }
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = Arc::new(self.buffer("poison", "unset TL_POISON", POISON_BYTES, usage)?);
        self.queue.write_buffer(&buffer.buffer, 0, &vec![0xff; POISON_BYTES as usize]);
        Ok(self.poison.get_or_init(|| buffer).clone())
    }

    /// Loses the device, for tests: the callback comes with the poll, as a driver's comes with its next call.
    pub fn lose(&self) {
        self.device.destroy();
        if let Err(error) = self.device.poll(wgpu::PollType::Poll) {
            log::error!("{error}");
        }
    }

    /// What the device is, and what of its features and limits chooses kernels: names and values for a person.
    pub fn facts(&self) -> Vec<(String, String)> {
        let (info, caps) = (&self.info, &self.caps);
        let has = |has: bool| if has { "yes" } else { "no" }.to_owned();
        let subgroups = match (caps.subgroup, caps::subgroup_sizes(info)) {
            (0, (0, 0)) => "none".to_owned(),
            (0, (least, most)) => format!("not used, the adapter has {least} to {most}"),
            (size, _) => format!("of {size}"),
        };
        let matrices = match caps.matrix_edge {
            0 => "not used".to_owned(),
            edge => format!("of {edge} × {edge}"),
        };
        [
            ("adapter", format!("{} ({}, vendor {:#06x}, device {:#06x})", info.name, kind(info.device_type), info.vendor, info.device)),
            ("backend", info.backend.to_str().to_owned()),
            ("driver", format!("{} {}", info.driver, info.driver_info).trim().to_owned()),
            ("subgroups", subgroups),
            ("matrix units", matrices),
            ("timestamps", has(caps.timestamps)),
            ("pipeline cache", has(caps.pipeline_cache)),
            ("repeated runs", if self.recorder().is_some() { "recorded" } else { "encoded" }.to_owned()),
            ("largest binding", format!("{} MiB", caps.max_binding >> 20)),
            ("largest buffer", format!("{} MiB", caps.max_buffer >> 20)),
            ("workgroup", format!("{} invocations, {} KiB of memory", caps.workgroup_threads, caps.workgroup_memory >> 10)),
            ("workgroups", format!("{} in a dimension", caps.workgroups_per_dimension)),
            ("restricted to", self.options.profile.map_or("nothing".to_owned(), |profile| format!("{profile:?}").to_lowercase())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// A buffer of at least `size` bytes. `what` and `hint` go into the error when memory is short.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn buffer(&self, what: &str, hint: &str, size: u64, usage: wgpu::BufferUsages) -> Result<CountedBuffer, ExecError> {
        let size = size.max(16).next_multiple_of(16);
        let allocated = &self.allocated;
        let full = || ExecError::OutOfMemory { mb: size.div_ceil(1_000_000) as usize, what: what.to_owned(), hint: hint.to_owned() };
        if self.options.faults.memory_limit.is_some_and(|limit| allocated.bytes() + size > limit) {
            return Err(full());
        }
        if size > self.caps.max_buffer {
            let (mb, most) = (size.div_ceil(1_000_000), self.caps.max_buffer / 1_000_000);
            let message = format!("{what} takes {mb} MB, and one buffer of this adapter holds {most} MB: {hint}");
            return Err(ExecError::Unsupported { message, origin: Default::default() });
        }
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false });
        if pollster::block_on(memory.pop()).is_some() {
            return Err(full());
        }
        let bytes = allocated.bytes.fetch_add(size, Ordering::Relaxed) + size;
        allocated.peak.fetch_max(bytes, Ordering::Relaxed);
        let id = allocated.buffers.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(CountedBuffer { buffer, id, allocated: allocated.clone() })
    }
}

/// The adapters of this machine, the one that `options` would take marked.
pub fn adapters(options: &GpuOptions) -> Vec<AdapterSummary> {
    let found = enumerate(options);
    let chosen = choose(&found, options).map(|a| a.get_info());
    found
        .iter()
        .map(|adapter| {
            let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
            let subgroups = features.contains(wgpu::Features::SUBGROUP);
            AdapterSummary {
                backend: info.backend.to_str(),
                driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
                kind: kind(info.device_type),
                memory_bytes: super::vulkan::memory_bytes(adapter),
                max_binding_mb: limits.max_storage_buffer_binding_size >> 20,
                workgroup_memory_kb: limits.max_compute_workgroup_storage_size >> 10,
                subgroups: if subgroups { caps::subgroup_sizes(&info) } else { (0, 0) },
                f16: features.contains(wgpu::Features::SHADER_F16),
                chosen: chosen.as_ref().is_some_and(|c| c.name == info.name && c.backend == info.backend),
                name: info.name,
            }
        })
        .collect()
}

fn enumerate(options: &GpuOptions) -> Vec<wgpu::Adapter> {
    let backends = match options.backend.as_deref() {
        Some("vulkan") => wgpu::Backends::VULKAN,
        Some("metal") => wgpu::Backends::METAL,
        Some("dx12") => wgpu::Backends::DX12,
        Some("noop") => wgpu::Backends::NOOP,
        Some(_) => wgpu::Backends::empty(),
        None => wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12,
    };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // Validation layers are a developer's tool that most machines lack; RUST_LOG and WGPU_VALIDATION bring them back.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    let noop = &mut descriptor.backend_options.noop;
    noop.enable = backends == wgpu::Backends::NOOP;
    (noop.subgroup_min_size, noop.subgroup_max_size) = (Some(NOOP_SUBGROUP), Some(NOOP_SUBGROUP));
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(backends))
}

/// The best of those that match: real GPUs before software, discrete before integrated. Software only where it was named or allowed.
fn choose<'a>(adapters: &'a [wgpu::Adapter], options: &GpuOptions) -> Option<&'a wgpu::Adapter> {
    let wanted = options.adapter.as_ref().map(|a| a.to_lowercase());
    let named = options.backend.is_some() || options.adapter.is_some();
    let rank = |info: &wgpu::AdapterInfo| match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    adapters
        .iter()
        .filter(|adapter| {
            let info = adapter.get_info();
            let allowed = info.device_type != wgpu::DeviceType::Cpu || named || options.allow_software;
            allowed && wanted.as_ref().is_none_or(|w| info.name.to_lowercase().contains(w.as_str()))
        })
        .min_by_key(|adapter| rank(&adapter.get_info()))
}

fn asked_for(options: &GpuOptions) -> String {
    match (&options.backend, &options.adapter) {
        (Some(backend), Some(adapter)) => format!("backend `{backend}` and name `{adapter}`"),
        (Some(backend), None) => format!("backend `{backend}`"),
        (None, Some(adapter)) => format!("name `{adapter}`"),
        (None, None) => "`auto`, which takes no software adapter".to_owned(),
    }
}

fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

fn title(info: &wgpu::AdapterInfo) -> String {
    let software = if info.device_type == wgpu::DeviceType::Cpu { " (software)" } else { "" };
    format!("{}: {}{software}", info.backend.to_str(), info.name)
}

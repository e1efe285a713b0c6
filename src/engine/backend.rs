//! Which executor runs: a GPU, or the CPU where there is none.

use crate::cpu::{self, CpuExecutor, CpuOptions};
use crate::gpu::{self, AdapterSummary, GpuError, GpuExecutor, GpuOptions, Variant, adapters};
use crate::graph::Executor;
use crate::lang::{SharedExecutor, address_space};
use crate::plan::{Off, Rule, Target};
use crate::reference::ReferenceExecutor;

use super::EngineError;

/// `--backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// The best real GPU, else the CPU.
    #[default]
    Auto,
    Metal,
    Vulkan,
    Dx12,
    Cpu,
    /// Validates and computes nothing: for tests of errors.
    Noop,
}

impl BackendChoice {
    fn name(self) -> &'static str {
        match self {
            BackendChoice::Auto => "auto",
            BackendChoice::Metal => "metal",
            BackendChoice::Vulkan => "vulkan",
            BackendChoice::Dx12 => "dx12",
            BackendChoice::Cpu => "cpu",
            BackendChoice::Noop => "noop",
        }
    }
}

/// Where and how to compute.
#[derive(Clone, Debug, Default)]
pub struct DeviceRequest {
    pub backend: BackendChoice,
    /// Part of the adapter's name.
    pub adapter: Option<String>,
    /// f32 throughout.
    pub precise: bool,
    /// Threads of the CPU backend; none takes every processor.
    pub threads: Option<usize>,
    /// Rewrite rules to do without, and kernel variants where a GPU runs.
    pub rules: Off<Rule>,
    pub kernels: Off<Variant>,
}

/// Tokens of a prefill run to begin with: a guess that the generate loop corrects by what runs take.
const CHUNK_GPU: usize = 512;
const CHUNK_CPU: usize = 128;
const CHUNK_SOFTWARE: usize = 16;

/// Drivers map some hundred MB of their own, and end the process where they cannot.
const DRIVER_BYTES: u64 = 2 << 30;

/// An open executor.
pub struct Backend {
    pub executor: SharedExecutor,
    /// One line for stderr: what was taken, and why where that is not plain.
    pub note: String,
    /// A first guess for the tokens of one prefill run.
    pub chunk: usize,
    pub is_cpu: bool,
    /// f32 throughout.
    pub precise: bool,
    /// What the executor wants of a plan.
    pub target: Target,
    /// What the device is and has, for a person: adapter, driver, features and limits that choose kernels.
    pub facts: Vec<(String, String)>,
}

impl Backend {
    /// The backend that is asked for. `Auto` takes the best real GPU, and the CPU where there is none; a software adapter only where it is named,
    /// or under `TL_REQUIRE_GPU=1`, which also makes a missing GPU an error.
    ///
    /// # Errors
    /// When a named backend or adapter is absent; the message lists what is there.
    pub fn open(request: &DeviceRequest) -> Result<Backend, EngineError> {
        let named = request.adapter.is_some() || !matches!(request.backend, BackendChoice::Auto);
        if request.backend == BackendChoice::Cpu {
            return Ok(Backend::cpu(request, ""));
        }
        if !named && address_space() < DRIVER_BYTES {
            let why = format!(" (no GPU: the process may map {} MB, a driver needs {})", address_space() >> 20, DRIVER_BYTES >> 20);
            return Ok(Backend::cpu(request, &why));
        }
        let options = gpu_options(request);
        match GpuExecutor::new(&options) {
            Ok(executor) => {
                let note = executor.describe();
                let software = executor.gpu().caps.software;
                let chunk = if software { CHUNK_SOFTWARE } else { CHUNK_GPU };
                let (target, facts) = (executor.target(), executor.gpu().facts());
                let executor = SharedExecutor::new(executor);
                Ok(Backend { executor, note, chunk, is_cpu: false, precise: request.precise, target, facts })
            }
            Err(error @ GpuError::Environment(_)) => Err(EngineError::NoDevice(error.to_string())),
            Err(error) if named || options.allow_software => {
                let present = Backend::list().join("; ");
                Err(EngineError::NoDevice(format!("{error}; here there is: {present}")))
            }
            Err(_) => Ok(Backend::cpu(request, " (no GPU found)")),
        }
    }

    fn cpu(request: &DeviceRequest, why: &str) -> Backend {
        let precise = request.precise;
        let executor = CpuExecutor::new(CpuOptions { precise, threads: request.threads, rules: request.rules, ..CpuOptions::default() });
        let note = format!("{}{why}", executor.describe());
        let levels: Vec<&str> = cpu::Isa::available().into_iter().map(cpu::Isa::name).collect();
        let facts = vec![("vector instructions".to_owned(), levels.join(", "))];
        let target = executor.target();
        Backend { executor: SharedExecutor::new(executor), note, chunk: CHUNK_CPU, is_cpu: true, precise, target, facts }
    }

    /// The definition of every op in f64: slow, and exact but for what a weight's own type rounds.
    pub fn exact() -> Backend {
        let executor = ReferenceExecutor::new();
        let note = executor.describe();
        let (executor, target) = (SharedExecutor::new(executor), cpu::TARGET);
        Backend { executor, note, chunk: CHUNK_GPU, is_cpu: true, precise: true, target, facts: Vec::new() }
    }

    /// A line for each adapter, and one for the CPU.
    pub fn list() -> Vec<String> {
        let mut lines: Vec<String> =
            adapters(&GpuOptions { backend: None, adapter: None, ..GpuOptions::from_env() }).iter().map(adapter_line).collect();
        lines.push(CpuExecutor::new(CpuOptions::default()).describe());
        lines
    }
}

fn gpu_options(request: &DeviceRequest) -> GpuOptions {
    let backend = match request.backend {
        BackendChoice::Auto => None,
        other => Some(other.name().to_owned()),
    };
    GpuOptions {
        precise: request.precise,
        rules: request.rules,
        kernels: request.kernels,
        backend,
        adapter: request.adapter.clone(),
        cache_dir: gpu::cache_dir(),
        ..GpuOptions::from_env()
    }
}

fn adapter_line(adapter: &AdapterSummary) -> String {
    let subgroups = match adapter.subgroups {
        (0, 0) => "no subgroups".to_owned(),
        (low, high) if low == high => format!("subgroups of {low}"),
        (low, high) => format!("subgroups of {low} to {high}"),
    };
    format!(
        "{}: {} ({}, {}; bindings up to {} MiB, workgroup memory {} KiB, {subgroups}{})",
        adapter.backend,
        adapter.name,
        adapter.kind,
        adapter.driver,
        adapter.max_binding_mb,
        adapter.workgroup_memory_kb,
        if adapter.f16 { ", f16" } else { "" },
    )
}

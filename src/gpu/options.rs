//! What a user may ask of the GPU backend, from the command line or the environment.

use std::path::PathBuf;

use super::variants::Variant;
use crate::environment::{self, EnvironmentError};
use crate::plan::{Off, Rule};

/// How a [`super::GpuExecutor`] is made.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// f32 activations and arithmetic only.
    pub precise: bool,
    /// `vulkan`, `metal`, `dx12`, or `noop` (validates, computes nothing). None: the best there is.
    pub backend: Option<String>,
    /// Part of an adapter's name, in any case.
    pub adapter: Option<String>,
    /// Report no more than this backend's features and limits.
    pub profile: Option<Profile>,
    /// Keep wgpu's runtime checks in kernels.
    pub checks: bool,
    /// Fill buffers with `0xFFFFFFFF` when they are taken and when they are released.
    pub poison: bool,
    /// Do without subgroup operations.
    pub no_subgroups: bool,
    /// Rewrite rules and kernel variants to do without.
    pub rules: Off<Rule>,
    pub kernels: Off<Variant>,
    /// Software adapters count as devices.
    pub allow_software: bool,
    /// Where pipelines and measured kernel shapes are kept between runs; none keeps nothing.
    pub cache_dir: Option<PathBuf>,
    /// Injected faults, for tests of the error paths.
    pub faults: Faults,
    /// What is wrong with the environment that the rest was read from: no adapter is opened then.
    pub invalid: Option<EnvironmentError>,
}

/// Faults that tests inject.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Allocations past this many bytes on the device fail as if its memory were full.
    pub memory_limit: Option<u64>,
    /// Storage bindings have at most this many bytes.
    pub binding_limit: Option<u64>,
    /// The device is lost when it has been given so many runs.
    pub lost_after: Option<u64>,
    /// Kernels that are broken on purpose. No flag and no variable sets them.
    pub kernels: Vec<KernelFault>,
    /// The adapter counts as a GPU whose matrix units multiply matrices of this edge. Where it has none, `kernels` puts other text in place
    /// of what they do. No flag and no variable sets it.
    pub matrix_edge: Option<usize>,
}

/// Another text in a kernel, as a wrong driver or a wrong edit would have it.
#[derive(Clone, Copy, Debug)]
pub struct KernelFault {
    /// The operation's file in `shaders/wgsl`, without `.wgsl`; its fragments are part of the text.
    pub op: &'static str,
    /// Every occurrence is replaced.
    pub from: &'static str,
    pub to: &'static str,
}

impl Faults {
    /// `memory=BYTES`, `binding=BYTES` or `lost=RUNS`, as `TL_FAULT` has it.
    fn from_text(text: &str) -> Self {
        match environment::fault(text) {
            Some(("memory", bytes)) => Faults { memory_limit: Some(bytes), ..Faults::default() },
            Some(("binding", bytes)) => Faults { binding_limit: Some(bytes), ..Faults::default() },
            Some(("lost", runs)) => Faults { lost_after: Some(runs), ..Faults::default() },
            _ => Faults::default(),
        }
    }

    /// The text of a kernel of `op` with the faults that are planted in it.
    pub fn planted(&self, op: &str, text: String) -> String {
        self.kernels.iter().filter(|fault| fault.op == op).fold(text, |text, fault| text.replace(fault.from, fault.to))
    }
}

/// A backend whose features and limits are imitated on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Metal,
    Dx12,
    WebGpu,
}

impl GpuOptions {
    /// The environment's part: `TL_BACKEND`, `TL_ADAPTER`, `TL_PROFILE`, `TL_CHECKS`, `TL_POISON`, `TL_NO_SUBGROUPS`, `TL_REQUIRE_GPU`,
    /// `TL_FAULT`. A value that is not known is kept in `invalid`, and nothing can be opened with it.
    pub fn from_env() -> Self {
        GpuOptions::read_env().unwrap_or_else(|invalid| GpuOptions { invalid: Some(invalid), ..GpuOptions::default() })
    }

    fn read_env() -> Result<Self, EnvironmentError> {
        Ok(GpuOptions {
            backend: environment::BACKEND.text()?.filter(|b| b != "auto" && b != "cpu"),
            adapter: environment::ADAPTER.text()?,
            profile: environment::PROFILE.text()?.and_then(|p| Profile::from_name(&p)),
            checks: environment::CHECKS.flag()?,
            poison: environment::POISON.flag()?,
            no_subgroups: environment::NO_SUBGROUPS.flag()?,
            allow_software: environment::REQUIRE_GPU.flag()?,
            faults: environment::FAULT.text()?.map_or_else(Faults::default, |f| Faults::from_text(&f)),
            ..GpuOptions::default()
        })
    }
}

impl Profile {
    /// `metal`, `dx12` or `webgpu`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "metal" => Some(Profile::Metal),
            "dx12" => Some(Profile::Dx12),
            "webgpu" => Some(Profile::WebGpu),
            _ => None,
        }
    }
}

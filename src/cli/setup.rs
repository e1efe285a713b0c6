//! From arguments as typed to ready objects.

use std::path::Path;

use crate::engine::{Backend, BackendChoice, DeviceRequest, EngineError, LoadRequest, LoadedModel};
use crate::format::ModelFile;
use crate::graph::KvType;
use crate::text::SamplingOverrides;

use super::args::{BackendArg, ComputeArgs, DeviceArgs, KvArg, SamplingArgs, WindowArgs};
use super::error::CliError;
use super::terminal;

impl DeviceArgs {
    pub fn request(&self, precise: bool) -> DeviceRequest {
        self.request_of(self.backend, precise)
    }

    /// The same with another backend.
    pub fn request_of(&self, backend: BackendArg, precise: bool) -> DeviceRequest {
        let backend = match backend {
            BackendArg::Auto => BackendChoice::Auto,
            BackendArg::Metal => BackendChoice::Metal,
            BackendArg::Vulkan => BackendChoice::Vulkan,
            BackendArg::Dx12 => BackendChoice::Dx12,
            BackendArg::Cpu => BackendChoice::Cpu,
            BackendArg::Noop => BackendChoice::Noop,
        };
        DeviceRequest { backend, adapter: self.adapter.clone(), precise, rules: self.rules, kernels: self.variants }
    }
}

impl ComputeArgs {
    /// Opens the backend, and says in one line on stderr which it is.
    pub fn open(&self) -> Result<Backend, CliError> {
        let backend = Backend::open(&self.device.request(self.precise))?;
        terminal::note(&backend.note);
        Ok(backend)
    }

    /// Another backend with the rest of the arguments, for a comparison.
    pub fn open_as(&self, backend: BackendArg) -> Result<Backend, CliError> {
        Ok(Backend::open(&self.device.request_of(backend, self.precise))?)
    }

    pub fn load_request(&self, window: Option<&WindowArgs>) -> LoadRequest {
        LoadRequest {
            arch: self.arch.clone(),
            no_mmap: self.no_mmap,
            kv_type: match self.kv {
                KvArg::F32 => KvType::F32,
                KvArg::F16 => KvType::F16,
                KvArg::Q8_0 => KvType::Q8_0,
            },
            window: window.and_then(|w| w.ctx),
            sinks: window.and_then(|w| w.sinks),
        }
    }
}

impl SamplingArgs {
    pub fn overrides(&self) -> SamplingOverrides {
        SamplingOverrides {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            seed: self.seed,
        }
    }
}

/// Opens a model on a backend; without a path, the one inside the binary.
pub fn load(path: Option<&Path>, backend: &Backend, request: &LoadRequest) -> Result<LoadedModel, CliError> {
    let file = match path {
        Some(path) => ModelFile::open(path, request.no_mmap).map_err(EngineError::from)?,
        None => crate::engine::demo::open().map_err(EngineError::from)?,
    };
    Ok(LoadedModel::from_file(file, backend, request)?)
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NoDevice(message) => CliError::Device(message),
            // These are drawn, and begin with `error:` themselves.
            EngineError::Program(error) => {
                let drawn: Vec<String> = error.diagnostics.iter().map(|d| d.render(&error.sources, terminal::color())).collect();
                CliError::Failed(drawn.join("\n"))
            }
            EngineError::Exec { message, .. } => {
                CliError::Failed(if message.contains("error:") { message } else { format!("error: {message}") })
            }
            EngineError::Sampling(error) => CliError::usage(error),
            EngineError::Window(error) => CliError::usage(error),
            other => CliError::failed(other),
        }
    }
}

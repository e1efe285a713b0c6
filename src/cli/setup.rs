//! From arguments as typed to ready objects.

use std::io::Read;
use std::path::Path;

use clap::ValueEnum;

use tensorlogic::diag::pictures;
use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineError, LoadRequest, LoadedModel, demo};
use tensorlogic::environment::{self, Variable};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::KvType;
use tensorlogic::output::{Existing, Output, OutputError};
use tensorlogic::plan::{Choice, Off};
use tensorlogic::text::SamplingOverrides;

use super::args::{BackendArg, ComputeArgs, DeviceArgs, KvArg, SamplingArgs, WindowArgs};
use super::error::CliError;
use super::terminal;

impl DeviceArgs {
    /// The flags, and where they are absent the environment.
    ///
    /// # Errors
    /// When the environment holds what is not known.
    pub fn request(&self, precise: bool) -> Result<DeviceRequest, CliError> {
        let backend = match (self.backend, environment::BACKEND.text().map_err(CliError::usage)?) {
            (Some(backend), _) => backend,
            (None, Some(name)) => BackendArg::from_str(&name, false).map_err(CliError::usage)?,
            (None, None) => BackendArg::Auto,
        };
        self.request_of(backend, precise)
    }

    /// The same with another backend.
    ///
    /// # Errors
    /// As `request`.
    pub fn request_of(&self, backend: BackendArg, precise: bool) -> Result<DeviceRequest, CliError> {
        let backend = match backend {
            BackendArg::Auto => BackendChoice::Auto,
            BackendArg::Metal => BackendChoice::Metal,
            BackendArg::Vulkan => BackendChoice::Vulkan,
            BackendArg::Dx12 => BackendChoice::Dx12,
            BackendArg::Cpu => BackendChoice::Cpu,
            BackendArg::Noop => BackendChoice::Noop,
        };
        let adapter = match &self.adapter {
            Some(adapter) => Some(adapter.clone()),
            None => environment::ADAPTER.text().map_err(CliError::usage)?,
        };
        let rules = off(self.rules, environment::RULES)?;
        let kernels = off(self.variants, environment::KERNELS)?;
        Ok(DeviceRequest { backend, adapter, precise, threads: self.threads, rules, kernels })
    }
}

/// The choices to do without: those of the flag, else of the variable.
fn off<T: Choice>(flag: Option<Off<T>>, variable: Variable) -> Result<Off<T>, CliError> {
    match (flag, variable.text().map_err(CliError::usage)?) {
        (Some(off), _) => Ok(off),
        (None, Some(names)) => names.parse().map_err(|e| CliError::usage(format!("{}: {e}", variable.name))),
        (None, None) => Ok(Off::NONE),
    }
}

impl ComputeArgs {
    /// Opens the backend, and says in one line on stderr which it is.
    pub fn open(&self) -> Result<Backend, CliError> {
        let backend = Backend::open(&self.device.request(self.precise)?)?;
        terminal::note(&backend.note);
        if self.n_gpu_layers.is_some() {
            terminal::note("note: -ngl changes nothing: all layers run on the device above; --backend cpu takes the processor");
        }
        Ok(backend)
    }

    /// Another backend with the rest of the arguments, for a comparison.
    pub fn open_as(&self, backend: BackendArg) -> Result<Backend, CliError> {
        Ok(Backend::open(&self.device.request_of(backend, self.precise)?)?)
    }

    pub fn load_request(&self, window: Option<&WindowArgs>) -> LoadRequest {
        LoadRequest {
            printed: || Box::new(std::io::stderr()),
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

/// Where a flag has a command write a file; `force` replaces one that is there.
///
/// # Errors
/// When there is one and `force` is false, or when there is no such folder.
pub fn output(path: &Path, force: bool) -> Result<Output, OutputError> {
    let existing = if force { Existing::Replace } else { Existing::Keep { unless: "add --force to replace it" } };
    Output::new(path, existing)
}

/// Opens a model on a backend; without a path, the one inside the binary.
pub fn load(path: Option<&Path>, backend: &Backend, request: &LoadRequest) -> Result<LoadedModel, CliError> {
    let file = match path {
        Some(path) => open_model(path, request.no_mmap)?,
        None => demo::open()?,
    };
    Ok(LoadedModel::from_file(file, backend, request)?)
}

/// Opens a model's file.
pub fn open_model(path: &Path, no_mmap: bool) -> Result<ModelFile, CliError> {
    if path.extension().is_some_and(|e| e == "tl") {
        return Err(CliError::usage(format!("`{0}` is a program, not a model: type `tl run {0}`", path.display())));
    }
    if !path.exists() {
        return Err(no_model(path));
    }
    Ok(ModelFile::open(path, no_mmap).map_err(EngineError::from)?)
}

/// What a path that leads nowhere says: a bare name may be meant as a model to be fetched, which `tl` does not do.
fn no_model(path: &Path) -> CliError {
    let shown = path.display();
    let text = path.to_string_lossy();
    // `owner/name`, and what a browser shows.
    let is_on_a_site = text.contains("://") || path.is_relative() && path.components().count() == 2 && path.extension().is_none();
    if !is_on_a_site && (path.components().count() > 1 || path.extension().is_some()) {
        return CliError::failed(format!("there is no file or folder `{shown}`"));
    }
    CliError::failed(format!(
        "there is no file or folder `{shown}`: a model is the path of a GGUF file or of a Hugging Face folder, downloaded before, as from \
         https://huggingface.co/models?library=gguf; `tl chat` alone talks to the model that is built in"
    ))
}

/// Refuses a model where a program is taken.
///
/// # Errors
/// When the path is one by its name or its first bytes.
pub fn refuse_model(path: &Path) -> Result<(), CliError> {
    let by_name = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf") || e.eq_ignore_ascii_case("safetensors"));
    if by_name || path.join("config.json").is_file() || starts_as_gguf(path) {
        return Err(CliError::usage(format!("`{0}` is a model, not a program: type `tl chat {0}`", path.display())));
    }
    Ok(())
}

fn starts_as_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    // A pipe would lose what is read of it.
    let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    is_file && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == b"GGUF"
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NoDevice(message) => CliError::Device(message),
            // These are drawn, and begin with `error:` themselves.
            EngineError::Program(error) => CliError::Failed(pictures(&error.diagnostics, &error.sources, terminal::color()).join("\n")),
            EngineError::Exec { message, .. } => {
                CliError::Failed(if message.contains("error:") { message } else { format!("error: {message}") })
            }
            EngineError::Sampling(error) => CliError::usage(error),
            EngineError::Window(error) => CliError::usage(error),
            other => CliError::failed(other),
        }
    }
}

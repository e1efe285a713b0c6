//! Which executor runs: a GPU, or the CPU where there is none.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cpu::{CpuExecutor, CpuOptions};
use crate::gpu::{GpuExecutor, GpuOptions};
use crate::lang::SharedExecutor;

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
}

/// Where and how to compute.
#[derive(Clone, Debug, Default)]
pub struct DeviceRequest {
    pub backend: BackendChoice,
    /// Part of the adapter's name.
    pub adapter: Option<String>,
    /// f32 throughout.
    pub precise: bool,
}

/// An open executor.
pub struct Backend {
    pub executor: SharedExecutor,
    /// One line for stderr: what was taken, and why where that is not plain.
    pub note: String,
    /// A first guess for the tokens of one prefill run.
    pub chunk: usize,
    pub is_cpu: bool,
}

impl Backend {
    /// A line for each adapter, and one for the CPU.
    pub fn list() -> Vec<String> {
        vec![crate::graph::Executor::describe(&CpuExecutor::new(CpuOptions::default()))]
    }

    /// # Errors
    /// When a named backend or adapter is absent.
    pub fn open(request: &DeviceRequest) -> Result<Backend, EngineError> {
        if request.backend != BackendChoice::Cpu
            && let Some(backend) = Backend::open_gpu(request)?
        {
            return Ok(backend);
        }
        let executor = CpuExecutor::new(CpuOptions { precise: request.precise, ..CpuOptions::default() });
        let note = crate::graph::Executor::describe(&executor);
        Ok(Backend { executor: Rc::new(RefCell::new(executor)), note, chunk: 128, is_cpu: true })
    }

    /// A GPU, or none where `auto` finds none.
    fn open_gpu(request: &DeviceRequest) -> Result<Option<Backend>, EngineError> {
        let mut options = GpuOptions { precise: request.precise, ..GpuOptions::from_env() };
        options.adapter = request.adapter.clone().or(options.adapter);
        options.backend = match request.backend {
            BackendChoice::Metal => Some("metal".to_owned()),
            BackendChoice::Vulkan => Some("vulkan".to_owned()),
            BackendChoice::Dx12 => Some("dx12".to_owned()),
            BackendChoice::Auto | BackendChoice::Cpu => options.backend,
        };
        let named = options.backend.is_some() || options.adapter.is_some();
        match GpuExecutor::new(&options) {
            Ok(executor) => {
                let note = crate::graph::Executor::describe(&executor);
                let chunk = if executor.gpu().caps.software { 64 } else { 512 };
                Ok(Some(Backend { executor: Rc::new(RefCell::new(executor)), note, chunk, is_cpu: false }))
            }
            Err(error) if named => Err(EngineError::NoDevice(error.to_string())),
            Err(_) => Ok(None),
        }
    }
}

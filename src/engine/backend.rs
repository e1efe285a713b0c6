//! Which executor runs: a GPU, or the CPU where there is none.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cpu::{self, CpuExecutor, CpuOptions};
use crate::lang::SharedExecutor;
use crate::plan::Target;
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
    /// f32 throughout.
    pub precise: bool,
    /// What the executor wants of a plan.
    pub target: Target,
}

impl Backend {
    /// A line for each adapter, and one for the CPU.
    pub fn list() -> Vec<String> {
        vec![crate::graph::Executor::describe(&CpuExecutor::new(CpuOptions::default()))]
    }

    /// # Errors
    /// When a named backend or adapter is absent.
    pub fn open(request: &DeviceRequest) -> Result<Backend, EngineError> {
        let executor = CpuExecutor::new(CpuOptions { precise: request.precise, ..CpuOptions::default() });
        let note = crate::graph::Executor::describe(&executor);
        Ok(Backend {
            executor: Rc::new(RefCell::new(executor)),
            note,
            chunk: 128,
            is_cpu: true,
            precise: request.precise,
            target: cpu::TARGET,
        })
    }

    /// The definition of every op in f64: slow, and exact but for what a weight's own type rounds.
    pub fn exact() -> Backend {
        let executor = ReferenceExecutor::new();
        let note = crate::graph::Executor::describe(&executor);
        Backend { executor: Rc::new(RefCell::new(executor)), note, chunk: 512, is_cpu: true, precise: true, target: cpu::TARGET }
    }
}

//! Models as users run them: by their `.tl` program, on a backend of this machine.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineHost, LoadRequest, LoadedModel};
use tensorlogic::graph::{KvType, Sampling};
use tensorlogic::lang::Host;
use tensorlogic::text::TokenId;

/// How a model is run: several may share a backend, and with it its pipelines.
#[derive(Clone)]
pub struct Mode {
    pub gpu: bool,
    pub kv_type: KvType,
    arch: Option<PathBuf>,
    window: Option<usize>,
    backend: Arc<Backend>,
}

impl Mode {
    /// f32 throughout, with a cache in f32.
    pub fn precise(gpu: bool) -> Mode {
        Mode { gpu, kv_type: KvType::F32, arch: None, window: None, backend: Arc::new(open(gpu, true)) }
    }

    /// The modes of a user, on each backend of this machine.
    pub fn all() -> Vec<Mode> {
        let backends: &[bool] = if super::gpu_is_there() { &[false, true] } else { &[false] };
        let modes = |gpu| {
            let precise = Mode::precise(gpu);
            let half = Mode { kv_type: KvType::F16, ..precise.clone() };
            let default = Mode { backend: Arc::new(open(gpu, false)), ..half.clone() };
            [precise, half, default]
        };
        backends.iter().flat_map(|&gpu| modes(gpu)).collect()
    }

    /// With the program of this file, whatever architecture the model says.
    pub fn with_arch(self, program: &Path) -> Mode {
        Mode { arch: Some(program.to_owned()), ..self }
    }

    /// With this context instead of the model's.
    pub fn with_window(self, window: usize) -> Mode {
        Mode { window: Some(window), ..self }
    }

    pub fn is_precise(&self) -> bool {
        self.backend.precise
    }

    /// The logits `[T, V]` of `tokens`, fed in chunks.
    ///
    /// # Errors
    /// What keeps the model from being loaded or run, as users see it.
    pub fn logits(&self, model: &Path, tokens: &[i32], chunk: usize) -> Result<Vec<f32>, String> {
        self.logits_in(model, tokens, chunk, None)
    }

    /// The same with a cache that keeps `window` tokens in view.
    ///
    /// # Errors
    /// As `logits`.
    pub fn logits_in(&self, model: &Path, tokens: &[i32], chunk: usize, window: Option<usize>) -> Result<Vec<f32>, String> {
        let model = EngineHost::new(self.backend.clone(), self.request()).load_model(&model.display().to_string())?;
        let cache = model.new_cache(window)?;
        let mut logits = Vec::new();
        for chunk in tokens.chunks(chunk) {
            let rows = model.forward(chunk, &*cache)?;
            let rows = self.backend.executor.lock().read(&rows).map_err(|e| e.to_string())?;
            logits.extend_from_slice(rows.as_f32().unwrap());
        }
        Ok(logits)
    }

    /// The `n` ids that follow `tokens`, each the likeliest, generated as `tl generate` does.
    ///
    /// # Errors
    /// As `logits`.
    pub fn greedy(&self, model: &Path, tokens: &[i32], n: usize) -> Result<Vec<i32>, String> {
        let model = LoadedModel::open(model, &self.backend, &self.request()).map_err(|e| e.to_string())?;
        let prompt: Vec<TokenId> = tokens.iter().map(|&id| TokenId(id as u32)).collect();
        let mut ids = Vec::new();
        let on_token = |id: TokenId| {
            ids.push(id.0 as i32);
            ControlFlow::Continue(())
        };
        let mut generator = model.generator(0).map_err(|e| e.to_string())?;
        let generated = generator.generate(&prompt, Sampling::default(), n, |_| false, |_| ControlFlow::Continue(()), on_token);
        generated.map_err(|e| e.to_string())?;
        Ok(ids)
    }

    fn request(&self) -> LoadRequest {
        LoadRequest { arch: self.arch.clone(), kv_type: self.kv_type, window: self.window, ..LoadRequest::default() }
    }
}

fn open(gpu: bool, precise: bool) -> Backend {
    let native = if cfg!(target_os = "macos") {
        BackendChoice::Metal
    } else if cfg!(windows) {
        BackendChoice::Dx12
    } else {
        BackendChoice::Vulkan
    };
    let backend = if gpu { native } else { BackendChoice::Cpu };
    Backend::open(&DeviceRequest { backend, precise, ..DeviceRequest::default() }).unwrap()
}

//! A model, loaded: its file, its program, its text side, on one executor.

use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{Metadata, ModelFile};
use crate::graph::{CacheSpec, Compiled, KvType, Sampling, Unused, Weight};
use crate::lang::{CacheShape, ModelProgram, ModelSource, ProgramError, SharedExecutor, TraceSpec, Traced};
use crate::model::{CacheRequest, ChatSession, ChatSettings, Generator, ModelConfig, ModelError, ModelWeights, Scheduler};
use crate::text::{ChatTemplate, SamplingOverrides, SamplingParams, Tokenizer, TokenizerError};

use super::code::{ModelCode, Wanted};
use super::fit::{Fitted, fit, unfit};
use super::steps::ModelSteps;
use super::{Backend, EngineError};

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// `--arch`: the program instead of the built-in one of the file's architecture.
    pub arch: Option<PathBuf>,
    pub no_mmap: bool,
    pub kv_type: KvType,
    /// `--ctx` and `--sinks`.
    pub window: Option<usize>,
    pub sinks: Option<usize>,
    /// Where the model's program prints: when it is loaded, and each time its `forward` is traced.
    pub printed: fn() -> Box<dyn Write + Send>,
}

impl Default for LoadRequest {
    fn default() -> Self {
        LoadRequest { arch: None, no_mmap: false, kv_type: KvType::F16, window: None, sinks: None, printed: || Box::new(std::io::sink()) }
    }
}

/// The file and its weights: what a program sees of a model.
pub(super) struct FileSource {
    pub file: Arc<ModelFile>,
    pub weights: ModelWeights,
    /// Where its program runs; none where a file is only looked at.
    pub executor: Option<SharedExecutor>,
}

impl Drop for FileSource {
    /// The last of the model, its program and its generators is gone: nothing of it stays on the device.
    fn drop(&mut self) {
        self.weights.retire();
        if let Some(executor) = &self.executor {
            executor.let_go([Unused::RetiredWeights]);
        }
    }
}

impl ModelSource for FileSource {
    fn metadata(&self) -> &Metadata {
        self.file.metadata()
    }

    fn weight(&self, name: &str) -> Option<Arc<Weight>> {
        self.weights.get(name).cloned()
    }

    fn weight_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.weights.names())
    }

    fn unreadable_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.file.unread().iter().map(|(name, _)| name.as_str()))
    }
}

/// A model that can run. Its weights are uploaded when its first step is compiled.
pub struct LoadedModel {
    pub config: ModelConfig,
    pub executor: SharedExecutor,
    pub(super) source: Arc<FileSource>,
    pub(super) code: Arc<ModelCode>,
    cache: Option<CacheShape>,
    tokenizer: Result<Arc<Tokenizer>, TokenizerError>,
    request: LoadRequest,
    pub(super) chunk: usize,
}

impl LoadedModel {
    /// Opens a file or folder.
    ///
    /// # Errors
    /// For files that are no model, unknown architectures, and programs that fail on the file's metadata.
    pub fn open(path: &Path, backend: &Backend, request: &LoadRequest) -> Result<LoadedModel, EngineError> {
        LoadedModel::from_file(ModelFile::open(path, request.no_mmap)?, backend, request)
    }

    /// # Errors
    /// As `open`.
    pub fn from_file(file: ModelFile, backend: &Backend, request: &LoadRequest) -> Result<LoadedModel, EngineError> {
        let file = Arc::new(file);
        let Fitted { config, source, program, cache } =
            fit(&file, request.arch.as_deref(), Some((backend.executor.clone(), (request.printed)())))?;
        let tokenizer = Tokenizer::from_model(&file).map(Arc::new);
        if let Ok(tokenizer) = &tokenizer
            && tokenizer.vocab_size() > config.vocab_len
        {
            let (path, n_tokens, n_rows) = (file.path().display(), tokenizer.vocab_size(), config.vocab_len);
            return Err(ModelError::BadMetadata(format!(
                "`{path}`: the vocabulary has {n_tokens} tokens, but `token_embd.weight` has {n_rows} rows; convert the file again"
            ))
            .into());
        }
        Ok(LoadedModel {
            config,
            executor: backend.executor.clone(),
            source,
            code: Arc::new(ModelCode::new(backend.executor.clone(), program)),
            cache,
            tokenizer,
            request: request.clone(),
            chunk: backend.chunk,
        })
    }

    pub fn file(&self) -> &ModelFile {
        &self.source.file
    }

    /// The program that runs it. No trace and no compilation of the model begins while it is held.
    pub fn program(&self) -> impl Deref<Target = ModelProgram> {
        self.code.program.lock()
    }

    /// # Errors
    /// When the file has none, or one that cannot be used.
    pub fn tokenizer(&self) -> Result<Arc<Tokenizer>, EngineError> {
        self.tokenizer.clone().map_err(EngineError::Tokenizer)
    }

    /// Whether the file says how a conversation is written; where it does not, `template` is ChatML.
    pub fn has_template(&self) -> bool {
        self.file().metadata().str("tokenizer.chat_template").is_some()
    }

    /// The file's template, or the stated default where it has none.
    ///
    /// # Errors
    /// When the file's template cannot be parsed.
    pub fn template(&self) -> Result<ChatTemplate, EngineError> {
        Ok(ChatTemplate::from_metadata(self.file().metadata())?.unwrap_or_default())
    }

    /// Flags over the file's `general.sampling.*` over the defaults.
    ///
    /// # Errors
    /// When a value is out of bounds.
    pub fn sampling(&self, flags: &SamplingOverrides) -> Result<Sampling, EngineError> {
        let file = SamplingOverrides::from_metadata(self.file().metadata())?;
        let params = SamplingParams::merge(flags, &file)?;
        Ok(Sampling {
            temperature: params.temperature,
            top_k: i32::try_from(params.top_k).unwrap_or(0),
            top_p: params.top_p,
            min_p: params.min_p,
            repeat_penalty: params.repeat_penalty,
            repeat_last_n: i32::try_from(params.repeat_last_n).unwrap_or(i32::MAX),
            seed: params.seed.map_or_else(seed_of_the_clock, |seed| (seed ^ (seed >> 32)) as u32),
        })
    }

    /// What the model's program appends to a cache.
    ///
    /// # Errors
    /// When it appends nothing.
    pub fn cache_shape(&self) -> Result<CacheShape, EngineError> {
        self.cache.ok_or_else(|| {
            ModelError::Program(format!("the program of `{}` appends nothing to its cache", self.config.architecture)).into()
        })
    }

    /// The cache of a session whose system block has `system_len` tokens, with chunks of up to `chunk`.
    ///
    /// # Errors
    /// When window or sinks are out of bounds.
    pub fn cache_spec(&self, system_len: usize, chunk: usize) -> Result<CacheSpec, EngineError> {
        let request = CacheRequest { window: self.request.window, sinks: self.request.sinks, chunk, kv_type: self.request.kv_type };
        let shape = self.cache_shape()?;
        let config =
            ModelConfig { n_layers: shape.n_layers, n_kv_heads: shape.n_kv_heads, head_dim: shape.head_dim, ..self.config.clone() };
        Ok(request.spec(&config, system_len)?)
    }

    /// One trace of the model's `forward` for a cache of this shape.
    ///
    /// # Errors
    /// Those of the program.
    pub fn trace(&self, spec: &TraceSpec) -> Result<Traced, EngineError> {
        self.code.program.lock().trace_forward(spec).map_err(|e| self.unfit(e))
    }

    /// Why each token count has a step of its own, as far as the steps so far have shown; `None` where a bucket of rows serves several.
    pub fn exact_rows(&self) -> Option<String> {
        self.code.exact()
    }

    /// A trace as a run of the step takes it.
    ///
    /// # Errors
    /// Those of the program.
    pub(super) fn trace_step(&self, wanted: &Wanted) -> Result<Traced, EngineError> {
        self.code.trace(wanted).map_err(|e| self.unfit(e))
    }

    /// # Errors
    /// Those of the program and of the executor.
    pub(super) fn compile(&self, wanted: &Wanted, caches: &[CacheSpec]) -> Result<Compiled, EngineError> {
        self.code.compile(wanted, caches).map_err(|error| match error {
            EngineError::Program(error) => self.unfit(error),
            error => error,
        })
    }

    fn unfit(&self, error: ProgramError) -> EngineError {
        let program = format!("the program of `{}`", self.config.architecture);
        unfit(error, self.file(), &program, self.request.arch.as_deref())
    }

    /// A generator with a cache of its own.
    ///
    /// # Errors
    /// Those of the program, of the window, and of the device.
    pub fn generator(&self, system_len: usize) -> Result<Generator<ModelSteps>, EngineError> {
        let spec = self.cache_spec(system_len, CHUNK_MAX)?;
        self.generator_of(spec)
    }

    /// A generator with a cache of this shape, as that of another one is (`Context::spec`).
    ///
    /// # Errors
    /// Those of the device.
    pub fn generator_like(&self, spec: &CacheSpec) -> Result<Generator<ModelSteps>, EngineError> {
        self.generator_of(*spec)
    }

    pub(super) fn generator_with_window(&self, window: Option<usize>) -> Result<Generator<ModelSteps>, EngineError> {
        self.generator_of(self.spec_with_window(window)?)
    }

    /// The cache of a session without a system block, with a window of its own.
    pub(super) fn spec_with_window(&self, window: Option<usize>) -> Result<CacheSpec, EngineError> {
        let mut spec = self.cache_spec(0, CHUNK_MAX)?;
        if let Some(window) = window {
            let request = CacheRequest { window: Some(window), sinks: self.request.sinks, chunk: CHUNK_MAX, kv_type: spec.kv_type };
            let config =
                ModelConfig { n_layers: spec.n_layers, n_kv_heads: spec.n_kv_heads, head_dim: spec.head_dim, ..self.config.clone() };
            spec = request.spec(&config, 0)?;
        }
        Ok(spec)
    }

    fn generator_of(&self, spec: CacheSpec) -> Result<Generator<ModelSteps>, EngineError> {
        let steps = ModelSteps::new(self.code.clone(), spec);
        Generator::new(self.executor.clone(), steps, spec, self.chunk)
    }

    /// A scheduler of up to `sequences` sequences, each with the window of a generator's.
    ///
    /// # Errors
    /// As `generator`.
    pub fn scheduler(&self, sequences: usize) -> Result<Scheduler<ModelSteps>, EngineError> {
        self.scheduler_with_window(sequences, None)
    }

    pub(super) fn scheduler_with_window(&self, sequences: usize, window: Option<usize>) -> Result<Scheduler<ModelSteps>, EngineError> {
        let spec = self.spec_with_window(window)?;
        // One more than are asked for keeps the memory, and no pages.
        let spec = CacheSpec { sequences: sequences + 1, places: sequences.max(1) * spec.n_pages(), ..spec };
        self.scheduler_of(spec)
    }

    /// A scheduler in a memory of this shape ([`LoadedModel::cache_spec`]): `spec.sequences` is one more than the sequences that it takes, and
    /// `spec.places` may be fewer pages than all of them fill, so that some wait while others are long.
    ///
    /// # Errors
    /// When the memory does not fit.
    pub fn scheduler_of(&self, spec: CacheSpec) -> Result<Scheduler<ModelSteps>, EngineError> {
        Scheduler::new(self.executor.clone(), ModelSteps::new(self.code.clone(), spec), spec)
    }

    /// A conversation. `template` replaces the file's own.
    ///
    /// # Errors
    /// When the file has no tokenizer, and those of `generator`.
    pub fn chat(
        &self,
        template: Option<ChatTemplate>,
        settings: ChatSettings,
        system: Option<String>,
    ) -> Result<ChatSession<ModelSteps>, EngineError> {
        let tokenizer = self.tokenizer()?;
        let template = match template {
            Some(template) => template,
            None => self.template()?,
        };
        let system_len = match &system {
            Some(system) => ChatSession::<ModelSteps>::system_len(&tokenizer, &template, system)?,
            None => 0,
        };
        Ok(ChatSession::new(self.generator(system_len)?, tokenizer, template, settings, system))
    }
}

/// U: the largest prefill chunk.
pub const CHUNK_MAX: usize = 512;

fn seed_of_the_clock() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_right(32) as u32
}

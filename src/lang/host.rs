//! What the language asks of the engine: models, their caches and their tokenizers.

use std::any::Any;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::graph::{DeviceTensor, Sampling};
use crate::text::{Prompt, SamplingOverrides};

use super::model::ModelSource;

/// Loads what programs name by path. Errors are sentences: lower case, with what to type.
pub trait Host: Send {
    /// # Errors
    /// When the file is no model, or its architecture is unknown.
    fn load_model(&mut self, path: &str) -> Result<Arc<dyn EngineModel>, String>;

    /// The model that is built in.
    ///
    /// # Errors
    /// When the device cannot take it.
    fn built_in_model(&mut self) -> Result<Arc<dyn EngineModel>, String>;

    /// A tokenizer alone: of a `tokenizer.json`, a Hugging Face folder or a GGUF file. It stands for a model that has no weights.
    ///
    /// # Errors
    /// When the file holds no vocabulary.
    fn load_tokenizer(&mut self, path: &str) -> Result<Arc<dyn EngineModel>, String>;
}

/// A loaded model.
pub trait EngineModel: ModelSource {
    fn name(&self) -> String;

    /// What it was read from: files, and a folder where it is one.
    fn files(&self) -> Vec<PathBuf>;

    /// An empty cache; `window` is W, or the engine's default.
    ///
    /// # Errors
    /// When the device has no memory for it.
    fn new_cache(&self, window: Option<usize>) -> Result<Arc<dyn EngineCache>, String>;

    /// Feeds `tokens` at the cache's position, moves it, and gives the logits `[T, V]`.
    ///
    /// # Errors
    /// Those of the backend, and a cache of another model.
    fn forward(&self, tokens: &[i32], cache: &dyn EngineCache) -> Result<DeviceTensor, String>;

    /// `special`: text that spells a special token becomes it.
    ///
    /// # Errors
    /// When the file has no tokenizer.
    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<i32>, String>;

    /// # Errors
    /// When the file has no tokenizer or an id is none of its own.
    fn detokenize(&self, ids: &[i32]) -> Result<String, String>;

    /// The prompt that the file's template makes of `(role, text)` messages.
    ///
    /// # Errors
    /// When the file has no template, or it refuses the messages.
    fn chat_template(&self, messages: &[(String, String)]) -> Result<Prompt, String>;

    /// The ids of a rendered conversation: special tokens where the template wrote them, and BOS once.
    ///
    /// # Errors
    /// When the file has no tokenizer.
    fn tokenize_prompt(&self, prompt: &Prompt) -> Result<Vec<i32>, String>;

    /// Sets a cache back to where what it holds and `prompt` part, and gives how many ids of `prompt` it holds: less than all.
    ///
    /// # Errors
    /// For a cache of another model.
    fn keep_prefix(&self, cache: &dyn EngineCache, prompt: &[i32]) -> Result<usize, String>;

    /// Begins a conversation.
    ///
    /// # Errors
    /// When the file has no tokenizer, its template refuses the system message, or a setting is out of bounds.
    fn chat(&self, request: ChatRequest) -> Result<Arc<dyn EngineChat>, String>;

    /// Feeds `prompt` and generates; `on_token` sees each id and its text and may break off. `draft` makes it faster and changes no token.
    ///
    /// # Errors
    /// Those of the backend, a cache of another model, and a draft model of another vocabulary.
    fn generate(
        &self,
        cache: &dyn EngineCache,
        prompt: &[i32],
        sampling: Sampling,
        max_tokens: usize,
        draft: Option<&DraftRequest>,
        on_token: &mut dyn FnMut(i32, &str) -> ControlFlow<()>,
    ) -> Result<Vec<i32>, String>;

    /// So many completions of one prompt, drawn together: number i has the seed of `sampling` plus i. `on_run` is called before each run; where it breaks
    /// off, nothing is given.
    ///
    /// # Errors
    /// Those of the backend, and an empty prompt.
    fn completions(
        &self,
        prompt: &[i32],
        n: usize,
        sampling: Sampling,
        max_tokens: usize,
        on_run: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<String>, String>;

    /// The likeliest completions that a search with so many beams finds, the likeliest first, each with the ln of its probability. `on_run` as in
    /// `completions`.
    ///
    /// # Errors
    /// As `completions`.
    fn beam_search(
        &self,
        prompt: &[i32],
        beams: usize,
        max_tokens: usize,
        on_run: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<(String, f64)>, String>;

    /// For the engine, which knows its own models.
    fn as_any(&self) -> &dyn Any;
}

/// Tokens that are guessed ahead and verified together.
pub struct DraftRequest {
    pub source: DraftSource,
    /// Tokens at a time, 1 to [`crate::model::DRAFT_MAX`].
    pub n: usize,
}

/// Who guesses.
pub enum DraftSource {
    /// The text so far.
    Ngram,
    /// A smaller model.
    Model(Arc<dyn EngineModel>),
}

/// How a conversation begins.
pub struct ChatRequest {
    pub system: Option<String>,
    /// Over what the file says, over the defaults.
    pub sampling: SamplingOverrides,
    /// Of one answer.
    pub max_tokens: usize,
}

/// A conversation with a loaded model. It keeps the messages; what was computed for them is not computed again.
pub trait EngineChat: Send + Sync {
    /// Answers `text`; `on_text` sees the answer as it comes and may break it off.
    ///
    /// # Errors
    /// Those of the backend, and a text that is longer than the window.
    fn say(&self, text: &str, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<String, String>;

    /// `(role, text)` so far, the system message first.
    fn messages(&self) -> Vec<(String, String)>;

    /// Forgets all but the system message.
    ///
    /// # Errors
    /// While it answers.
    fn clear(&self) -> Result<(), String>;
}

/// A key-value cache of a loaded model.
pub trait EngineCache: Send + Sync {
    /// Where the next token goes.
    ///
    /// # Errors
    /// While a `generate` with the cache is under way.
    fn position(&self) -> Result<usize, String>;

    /// Forgets everything.
    ///
    /// # Errors
    /// As `position`.
    fn clear(&self) -> Result<(), String>;

    /// For the engine, which knows its own caches.
    fn as_any(&self) -> &dyn Any;
}

/// A model as a value: what its file says, and, outside a trace, the engine's hold on it.
#[derive(Clone)]
pub struct ModelHandle {
    pub source: Arc<dyn ModelSource>,
    pub engine: Option<Arc<dyn EngineModel>>,
}

impl ModelHandle {
    pub fn loaded(model: Arc<dyn EngineModel>) -> ModelHandle {
        ModelHandle { source: model.clone(), engine: Some(model) }
    }

    pub fn traced(source: Arc<dyn ModelSource>) -> ModelHandle {
        ModelHandle { source, engine: None }
    }
}

/// A cache as a value.
#[derive(Clone)]
pub enum ModelCache {
    /// The one that a trace's `forward` is given: its position is a scalar of the run.
    Traced,
    Engine(Arc<dyn EngineCache>),
}

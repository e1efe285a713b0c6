//! What the language asks of the engine: models, their caches and their tokenizers.

use std::any::Any;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;

use crate::graph::{DeviceTensor, Sampling};

use super::model::ModelSource;

/// Loads what programs name by path. Errors are sentences: lower case, with what to type.
pub trait Host {
    /// # Errors
    /// When the file is no model, or its architecture is unknown.
    fn load_model(&mut self, path: &str) -> Result<Rc<dyn EngineModel>, String>;
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
    fn new_cache(&self, window: Option<usize>) -> Result<Rc<dyn EngineCache>, String>;

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

    /// The prompt that the file's template makes of `(role, text)` messages, ready to be tokenized with special tokens.
    ///
    /// # Errors
    /// When the file has no template, or it refuses the messages.
    fn chat_template(&self, messages: &[(String, String)]) -> Result<String, String>;

    /// Feeds `prompt` and generates; `on_token` sees each id and its text and may break off.
    ///
    /// # Errors
    /// Those of the backend, and a cache of another model.
    fn generate(
        &self,
        cache: &dyn EngineCache,
        prompt: &[i32],
        sampling: Sampling,
        max_tokens: usize,
        on_token: &mut dyn FnMut(i32, &str) -> ControlFlow<()>,
    ) -> Result<Vec<i32>, String>;
}

/// A key-value cache of a loaded model.
pub trait EngineCache {
    /// Where the next token goes.
    fn position(&self) -> usize;

    /// Forgets everything.
    fn clear(&self);

    /// For the engine, which knows its own caches.
    fn as_any(&self) -> &dyn Any;
}

/// A model as a value: what its file says, and, outside a trace, the engine's hold on it.
#[derive(Clone)]
pub struct ModelHandle {
    pub source: Rc<dyn ModelSource>,
    pub engine: Option<Rc<dyn EngineModel>>,
}

impl ModelHandle {
    pub fn loaded(model: Rc<dyn EngineModel>) -> ModelHandle {
        ModelHandle { source: model.clone(), engine: Some(model) }
    }

    pub fn traced(source: Rc<dyn ModelSource>) -> ModelHandle {
        ModelHandle { source, engine: None }
    }
}

/// A cache as a value.
#[derive(Clone)]
pub enum ModelCache {
    /// The one that a trace's `forward` is given: its position is a scalar of the run.
    Traced,
    Engine(Rc<dyn EngineCache>),
}

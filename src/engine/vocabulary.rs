//! Text and ids by a tokenizer, of a model or alone, as programs of the language have them.

use std::any::Any;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{Metadata, ModelFile};
use crate::graph::{DeviceTensor, Sampling, Weight};
use crate::lang::{ChatRequest, DraftRequest, EngineCache, EngineChat, EngineModel, ModelSource};
use crate::text::tokenizer::JsonSpecials;
use crate::text::{Prompt, Specials, TokenId, Tokenizer};

/// The largest `tokenizer.json` that is read.
const JSON_BYTES_MAX: u64 = 128 << 20;

/// The ids of a text, with BOS once where the vocabulary asks for it. `special`: text that spells a special token becomes it.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str, special: bool) -> Vec<i32> {
    let specials = if special { Specials::Parsed } else { Specials::Plain };
    let mut ids = tokenizer.encode(text, specials, true);
    // The text may spell the BOS that is put in front of it, as one that a template made does.
    if special && tokenizer.adds_bos() && ids.len() > 1 && ids[0] == ids[1] && Some(ids[0]) == tokenizer.bos() {
        ids.remove(0);
    }
    ids.into_iter().map(|id| id.0 as i32).collect()
}

/// The ids of a rendered conversation: special tokens where the template wrote them, and BOS once.
pub(super) fn encode_prompt(tokenizer: &Tokenizer, prompt: &Prompt) -> Vec<i32> {
    tokenizer.encode_chat(&prompt.text, &prompt.messages).into_iter().map(|id| id.0 as i32).collect()
}

/// The text of ids.
///
/// # Errors
/// For an id that the vocabulary lacks.
pub(super) fn decode(tokenizer: &Tokenizer, ids: &[i32]) -> Result<String, String> {
    let ids: Vec<TokenId> = ids.iter().map(|&id| TokenId(id as u32)).collect();
    match ids.iter().find(|id| id.0 as usize >= tokenizer.vocab_size()) {
        Some(id) => Err(format!("token {} is outside of the vocabulary of {}", id.0 as i32, tokenizer.vocab_size())),
        None => Ok(tokenizer.decode(&ids)),
    }
}

/// A tokenizer without a model: of a `tokenizer.json`, of a Hugging Face folder, or of a GGUF file.
///
/// # Errors
/// When the file is none of these, or holds no vocabulary.
pub(super) fn open(path: &str) -> Result<Arc<dyn EngineModel>, String> {
    let path = Path::new(path);
    let tokenizer = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
        let fail = |e: std::io::Error| format!("cannot read `{}`: {e}", path.display());
        let size = std::fs::metadata(path).map_err(fail)?.len();
        if size > JSON_BYTES_MAX {
            return Err(format!("`{}` has {size} bytes, more than the {JSON_BYTES_MAX} of a tokenizer", path.display()));
        }
        // The files beside it say which tokens begin and end a text, where it is part of a whole folder.
        let specials = path.parent().and_then(|folder| ModelFile::open(folder, false).ok());
        let specials = specials.map(|file| JsonSpecials::from_metadata(file.metadata())).unwrap_or_default();
        Tokenizer::from_json(&std::fs::read(path).map_err(fail)?, &specials)
    } else {
        Tokenizer::from_model(&ModelFile::open(path, false).map_err(|e| e.to_string())?)
    };
    let tokenizer = tokenizer.map_err(|e| format!("`{}`: {e}", path.display()))?;
    Ok(Arc::new(HostedTokenizer { path: path.to_owned(), metadata: Metadata::default(), tokenizer }))
}

/// A tokenizer that stands for a model where only text is asked for.
struct HostedTokenizer {
    path: PathBuf,
    metadata: Metadata,
    tokenizer: Tokenizer,
}

impl ModelSource for HostedTokenizer {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn weight(&self, _: &str) -> Option<Arc<Weight>> {
        None
    }

    fn weight_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(std::iter::empty())
    }
}

/// What a tokenizer alone cannot do.
fn no_model<T>() -> Result<T, String> {
    Err("a tokenizer alone has no weights and no template: write `load_model(path)`".to_owned())
}

impl EngineModel for HostedTokenizer {
    fn name(&self) -> String {
        "tokenizer".to_owned()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn new_cache(&self, _: Option<usize>) -> Result<Arc<dyn EngineCache>, String> {
        no_model()
    }

    fn forward(&self, _: &[i32], _: &dyn EngineCache) -> Result<DeviceTensor, String> {
        no_model()
    }

    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<i32>, String> {
        Ok(encode(&self.tokenizer, text, special))
    }

    fn detokenize(&self, ids: &[i32]) -> Result<String, String> {
        decode(&self.tokenizer, ids)
    }

    fn chat_template(&self, _: &[(String, String)]) -> Result<Prompt, String> {
        no_model()
    }

    fn tokenize_prompt(&self, prompt: &Prompt) -> Result<Vec<i32>, String> {
        Ok(encode_prompt(&self.tokenizer, prompt))
    }

    fn keep_prefix(&self, _: &dyn EngineCache, _: &[i32]) -> Result<usize, String> {
        no_model()
    }

    fn chat(&self, _: ChatRequest) -> Result<Arc<dyn EngineChat>, String> {
        no_model()
    }

    fn generate(
        &self,
        _: &dyn EngineCache,
        _: &[i32],
        _: Sampling,
        _: usize,
        _: Option<&DraftRequest>,
        _: &mut dyn FnMut(i32, &str) -> ControlFlow<()>,
    ) -> Result<Vec<i32>, String> {
        no_model()
    }

    fn completions(
        &self,
        _: &[i32],
        _: usize,
        _: Sampling,
        _: usize,
        _: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<String>, String> {
        no_model()
    }

    fn beam_search(&self, _: &[i32], _: usize, _: usize, _: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Vec<(String, f64)>, String> {
        no_model()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

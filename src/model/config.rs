//! The numbers of a model's file that the engine itself needs: the shape of the cache, and what to name in errors. All else the
//! architecture's program reads from the metadata.

use crate::format::{Metadata, ModelFile};

/// A model whose file contradicts itself or lacks what it must have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(pub String);

/// From the metadata of a file, under `general.architecture`'s prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// `general.architecture`: which program runs it.
    pub architecture: String,
    /// `general.name`, or the file's name.
    pub name: String,
    pub n_layers: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    /// D: elements of one head's query and key.
    pub head_dim: usize,
    /// C: elements of the residual stream.
    pub width: usize,
    /// Tokens of context that it was trained for.
    pub context_len: usize,
    /// V: rows of the embedding.
    pub vocab_len: usize,
}

/// A file may not ask for more layers or heads than any known model has by far; both size host structures.
const MAX_LAYERS: u64 = 4096;
const MAX_HEADS: u64 = 4096;

impl ModelConfig {
    /// `general.architecture`, which all other keys begin with.
    ///
    /// # Errors
    /// When it is absent.
    pub fn architecture_of(meta: &Metadata) -> Result<&str, ModelError> {
        meta.str("general.architecture").ok_or_else(|| absent("general.architecture"))
    }

    /// # Errors
    /// When a needed number is absent, zero, out of bounds, or does not divide another.
    pub fn from_file(file: &ModelFile) -> Result<ModelConfig, ModelError> {
        let meta = file.metadata();
        let architecture = ModelConfig::architecture_of(meta)?.to_owned();
        let number = |key: &str| required(meta, &format!("{architecture}.{key}"));
        let n_layers = at_most(number("block_count")?, MAX_LAYERS, &format!("{architecture}.block_count"))?;
        let n_heads = at_most(number("attention.head_count")?, MAX_HEADS, &format!("{architecture}.attention.head_count"))?;
        let width = number("embedding_length")? as usize;
        let kv_key = format!("{architecture}.attention.head_count_kv");
        let n_kv_heads = match meta.u64(&kv_key) {
            Some(n) => at_most(n, MAX_HEADS, &kv_key)?,
            None => n_heads,
        };
        if n_kv_heads == 0 || !n_heads.is_multiple_of(n_kv_heads) {
            return Err(ModelError(format!(
                "{n_heads} query heads are no multiple of {n_kv_heads} key-value heads ({architecture}.attention.head_count_kv)"
            )));
        }
        let head_dim = match meta.u64(&format!("{architecture}.attention.key_length")) {
            Some(d) => d as usize,
            None if width.is_multiple_of(n_heads) => width / n_heads,
            None => {
                return Err(ModelError(format!(
                    "a width of {width} does not divide into {n_heads} heads ({architecture}.attention.head_count)"
                )));
            }
        };
        if head_dim == 0 || head_dim > 1024 || !head_dim.is_multiple_of(2) {
            return Err(ModelError(format!("a head size of {head_dim} is not supported: it must be even and at most 1024")));
        }
        let embedding =
            file.tensors().get("token_embd.weight").ok_or_else(|| ModelError("tensor `token_embd.weight` is missing".into()))?;
        let vocab_len = embedding.shape.rows();
        if embedding.shape.last_dim() != width {
            return Err(ModelError(format!(
                "`{}`: metadata `{architecture}.embedding_length` is {width}, but `token_embd.weight` has rows of {}",
                file.path().display(),
                embedding.shape.last_dim()
            )));
        }
        let name = match meta.str("general.name") {
            Some(name) => name.to_owned(),
            None => file.path().file_stem().map_or_else(|| architecture.clone(), |s| s.to_string_lossy().into_owned()),
        };
        let context_len = meta.u64(&format!("{architecture}.context_length")).unwrap_or(2048).clamp(1, 1 << 24) as usize;
        Ok(ModelConfig { architecture, name, n_layers, n_heads, n_kv_heads, head_dim, width, context_len, vocab_len })
    }
}

fn required(meta: &Metadata, key: &str) -> Result<u64, ModelError> {
    match meta.u64(key) {
        Some(0) => Err(ModelError(format!("metadata `{key}` is 0"))),
        Some(n) if n > 1 << 31 => Err(ModelError(format!("metadata `{key}` is {n}, which no model has"))),
        Some(n) => Ok(n),
        None => Err(absent(key)),
    }
}

fn at_most(n: u64, max: u64, key: &str) -> Result<usize, ModelError> {
    if n <= max { Ok(n as usize) } else { Err(ModelError(format!("metadata `{key}` is {n}, more than {max}"))) }
}

fn absent(key: &str) -> ModelError {
    ModelError(format!("metadata `{key}` is missing"))
}

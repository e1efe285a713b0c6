//! The numbers of a model's file that the engine itself needs: the shape of the cache, and what to name in errors. All else the
//! architecture's program reads from the metadata.

use crate::format::{Metadata, ModelFile};

use super::error::ModelError;

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
        let width = number("embedding_length")? as usize;
        let (n_heads, n_kv_heads) = heads(meta, &architecture, n_layers)?;
        let head_dim = match meta.u64(&format!("{architecture}.attention.key_length")) {
            Some(d) => d as usize,
            None if width.is_multiple_of(n_heads) => width / n_heads,
            None => {
                return Err(ModelError::BadMetadata(format!(
                    "a width of {width} does not divide into {n_heads} heads ({architecture}.attention.head_count)"
                )));
            }
        };
        if head_dim == 0 || head_dim > 1024 || !head_dim.is_multiple_of(2) {
            return Err(ModelError::BadMetadata(format!("a head size of {head_dim} is not supported: it must be even and at most 1024")));
        }
        let embedding = file.tensors().get("token_embd.weight").ok_or_else(|| ModelError::MissingTensor("token_embd.weight".into()))?;
        let vocab_len = embedding.shape.rows();
        if embedding.shape.last_dim() != width {
            return Err(ModelError::BadMetadata(format!(
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

/// The most query heads and key-value heads that a layer has.
fn heads(meta: &Metadata, architecture: &str, n_layers: usize) -> Result<(usize, usize), ModelError> {
    let key = format!("{architecture}.attention.head_count");
    let kv_key = format!("{key}_kv");
    let queries = per_layer(meta, &key, n_layers)?.ok_or_else(|| absent(&key))?;
    let keys = match per_layer(meta, &kv_key, n_layers)? {
        Some(keys) => keys,
        None => queries.clone(),
    };
    let layers = queries.len().max(keys.len());
    // A number stands for all layers.
    let of_layer = |counts: &[usize], i: usize| counts.get(i).or(counts.first()).copied().unwrap_or(0);
    for i in 0..layers {
        let (n, n_kv) = (of_layer(&queries, i), of_layer(&keys, i));
        // In a list 0 is a layer without attention.
        let has_none = keys.len() > 1 && n_kv == 0;
        if !has_none && (n_kv == 0 || !n.is_multiple_of(n_kv)) {
            return Err(ModelError::BadMetadata(format!("{n} query heads are no multiple of {n_kv} key-value heads ({kv_key})")));
        }
    }
    match (queries.into_iter().max(), keys.into_iter().max()) {
        (Some(n), Some(n_kv)) if n > 0 && n_kv > 0 => Ok((n, n_kv)),
        _ => Err(ModelError::BadMetadata(format!("metadata `{key}` is 0"))),
    }
}

/// A number of heads, or a list of them with one for each layer.
fn per_layer(meta: &Metadata, key: &str, n_layers: usize) -> Result<Option<Vec<usize>>, ModelError> {
    let Some(value) = meta.get(key) else { return Ok(None) };
    let Some(list) = value.as_array() else {
        return match value.as_u64() {
            Some(n) => Ok(Some(vec![at_most(n, MAX_HEADS, key)?])),
            None => Err(ModelError::BadMetadata(format!("metadata `{key}` is {value:?}, not a number"))),
        };
    };
    if list.len() < n_layers {
        return Err(ModelError::BadMetadata(format!("metadata `{key}` lists {} layers, the model has {n_layers}", list.len())));
    }
    let Some(counts) = list.ints() else {
        return Err(ModelError::BadMetadata(format!("metadata `{key}` is a list of {}, not of numbers", list.element_type().name())));
    };
    let count = |n: i64| at_most(u64::try_from(n).unwrap_or(u64::MAX), MAX_HEADS, key);
    Ok(Some(counts.take(n_layers).map(count).collect::<Result<_, _>>()?))
}

fn required(meta: &Metadata, key: &str) -> Result<u64, ModelError> {
    match meta.u64(key) {
        Some(0) => Err(ModelError::BadMetadata(format!("metadata `{key}` is 0"))),
        Some(n) if n > 1 << 31 => Err(ModelError::BadMetadata(format!("metadata `{key}` is {n}, which no model has"))),
        Some(n) => Ok(n),
        None => Err(absent(key)),
    }
}

fn at_most(n: u64, max: u64, key: &str) -> Result<usize, ModelError> {
    if n <= max { Ok(n as usize) } else { Err(ModelError::BadMetadata(format!("metadata `{key}` is {n}, more than {max}"))) }
}

fn absent(key: &str) -> ModelError {
    ModelError::MissingKey(key.to_owned())
}

//! Model files that differ from a fixture in one thing.

use tensorlogic::format::{GgufWriter, MetadataValue, ModelFile};
use tensorlogic::tensor::{DType, Shape};

use crate::process::fixture;

/// The contents of tiny-f32.gguf, to be changed and written again.
pub struct Parts {
    pub metadata: Vec<(String, MetadataValue)>,
    pub tensors: Vec<(String, Shape, DType, Vec<u8>)>,
}

impl Parts {
    pub fn tiny() -> Parts {
        let file = ModelFile::open(&fixture("tiny-f32.gguf"), false).unwrap();
        let metadata = file.metadata().iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        let tensors = file
            .tensors()
            .tensors()
            .iter()
            .map(|t| (t.name.clone(), t.shape.clone(), t.dtype, file.data(&t.name).unwrap().to_vec()))
            .collect();
        Parts { metadata, tensors }
    }

    pub fn set(mut self, key: &str, value: impl Into<MetadataValue>) -> Parts {
        let value = value.into();
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some(pair) => pair.1 = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
        self
    }

    /// Without the keys that begin so.
    pub fn without_keys(mut self, prefix: &str) -> Parts {
        let before = self.metadata.len();
        self.metadata.retain(|(key, _)| !key.starts_with(prefix));
        assert!(self.metadata.len() < before, "there is no `{prefix}`");
        self
    }

    pub fn without_tensor(mut self, name: &str) -> Parts {
        let before = self.tensors.len();
        self.tensors.retain(|(n, ..)| n != name);
        assert!(self.tensors.len() < before, "there is no `{name}`");
        self
    }

    /// With the keys of the model's architecture under another's name.
    pub fn of_architecture(mut self, architecture: &str) -> Parts {
        for (key, value) in &mut self.metadata {
            if let Some(rest) = key.strip_prefix("llama.") {
                *key = format!("{architecture}.{rest}");
            }
            if key == "general.architecture" {
                *value = architecture.into();
            }
        }
        self
    }

    /// Greedy answers do not end by themselves: control tokens have rows of zeros in the embedding, which the output shares, and of some
    /// hundred logits one is above their 0.
    pub fn without_end(mut self) -> Parts {
        const CONTROL: i64 = 3;
        assert!(!self.tensors.iter().any(|(name, ..)| name == "output.weight"), "the output is the embedding");
        let (_, types) = self.metadata.iter().find(|(key, _)| key == "tokenizer.ggml.token_type").unwrap();
        let types: Vec<i64> = types.as_array().unwrap().ints().unwrap().collect();
        assert!(types.contains(&CONTROL));
        let (_, _, _, data) = self.tensors.iter_mut().find(|(name, ..)| name == "token_embd.weight").unwrap();
        let row_bytes = data.len() / types.len();
        for (row, kind) in data.chunks_exact_mut(row_bytes).zip(types) {
            if kind == CONTROL {
                row.fill(0);
            }
        }
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = GgufWriter::new();
        for (key, value) in &self.metadata {
            writer.set(key, value.clone());
        }
        for (name, shape, dtype, data) in &self.tensors {
            writer.tensor(name, shape.clone(), *dtype, &data[..]);
        }
        writer.to_bytes()
    }
}

/// A file's bytes as they are, to be damaged.
pub struct Image(pub Vec<u8>);

impl Image {
    pub fn of(name: &str) -> Image {
        Image(std::fs::read(fixture(name)).unwrap())
    }

    /// Where a string of the header begins.
    pub fn find(&self, text: &str) -> usize {
        self.0.windows(text.len()).position(|w| w == text.as_bytes()).unwrap()
    }

    pub fn put(mut self, at: usize, bytes: &[u8]) -> Image {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Where the directory entry of a tensor goes on behind its name: the rank (4 bytes), the dimensions (8 each), the type (4), the offset (8).
    pub fn entry(&self, name: &str) -> usize {
        self.find(name) + name.len()
    }
}

//! A GGUF fixture taken apart, to be changed and written again.

use std::path::{Path, PathBuf};

use tensorlogic::format::{GgufWriter, MetadataValue, ModelFile};
use tensorlogic::tensor::{DType, Shape};

use super::fixture;

/// Metadata and tensors of a file.
pub struct Parts {
    pub metadata: Vec<(String, MetadataValue)>,
    pub tensors: Vec<(String, Shape, DType, Vec<u8>)>,
}

impl Parts {
    /// Those of a fixture, such as `tiny-f32`.
    pub fn of(name: &str) -> Parts {
        Parts::read(&fixture(&format!("{name}.gguf")))
    }

    pub fn read(path: &Path) -> Parts {
        let file = ModelFile::open(path, false).unwrap();
        let metadata = file.metadata().iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        let tensors = file.tensors().tensors().iter();
        let tensors = tensors.map(|t| (t.name.clone(), t.shape.clone(), t.dtype, file.data(&t.name).unwrap().to_vec())).collect();
        Parts { metadata, tensors }
    }

    pub fn set(mut self, key: &str, value: impl Into<MetadataValue>) -> Parts {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    pub fn without_key(mut self, key: &str) -> Parts {
        self.metadata.retain(|(k, _)| k != key);
        self
    }

    /// With a tensor in f32.
    pub fn tensor(mut self, name: &str, shape: impl Into<Shape>, values: &[f32]) -> Parts {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensors.push((name.to_owned(), shape.into(), DType::F32, bytes));
        self
    }

    /// With a vector of one value, for each of `n_layers` layers where the name begins with `blk.*.`.
    pub fn vectors(mut self, name: &str, n_layers: usize, len: usize, value: f32) -> Parts {
        for i in 0..n_layers {
            self = self.tensor(&name.replace('*', &i.to_string()), [len], &vec![value; len]);
        }
        self
    }

    /// The values of a tensor in f32, row by row.
    pub fn values(&self, name: &str) -> Vec<f32> {
        let (_, _, dtype, bytes) = self.tensors.iter().find(|(n, ..)| n == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(*dtype, DType::F32);
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
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

    pub fn save(&self, path: PathBuf) -> PathBuf {
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }
}

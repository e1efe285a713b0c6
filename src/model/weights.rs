//! A file's tensors as graph weights.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::format::ModelFile;
use crate::graph::{Weight, WeightSource};

/// The weights of one model by name. Each has one descriptor for the life of the model, so that plans and placements recognize it.
pub struct ModelWeights {
    by_name: HashMap<String, Arc<Weight>>,
}

struct FileTensor {
    file: Arc<ModelFile>,
    name: String,
}

impl WeightSource for FileTensor {
    fn bytes(&self) -> io::Result<Cow<'_, [u8]>> {
        match self.file.data(&self.name) {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => Err(io::Error::other(format!("tensor `{}` is no longer in its file", self.name))),
        }
    }
}

impl ModelWeights {
    pub fn from_file(file: &Arc<ModelFile>) -> Self {
        let by_name = file
            .tensors()
            .tensors()
            .iter()
            .map(|t| {
                let source = FileTensor { file: file.clone(), name: t.name.clone() };
                (t.name.clone(), Arc::new(Weight::new(&t.name, t.shape.clone(), t.dtype, Arc::new(source))))
            })
            .collect();
        ModelWeights { by_name }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Weight>> {
        self.by_name.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Says that the model is gone, so that executors free what they keep of its weights.
    pub fn retire(&self) {
        self.by_name.values().for_each(|weight| weight.retire());
    }

    /// Bytes of all weights in their files' types.
    pub fn len_bytes(&self) -> usize {
        self.by_name.values().map(|w| w.len_bytes()).sum()
    }
}

//! The tensors of a file or of several, by name.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::one_line;
use super::{FileBytes, FormatError};
use crate::tensor::{DType, Shape, first_nonfinite};

/// What a file says of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The name the file gives it; in a Hugging Face folder, its GGUF equivalent.
    pub name: String,
    /// Outermost dimension first: rows, then columns. GGUF files store the reverse.
    pub shape: Shape,
    pub dtype: DType,
    /// Which of the opened files holds it, from 0.
    pub part: usize,
    /// Offset of its first byte from the start of that file.
    pub offset: usize,
    pub len_bytes: usize,
}

impl TensorInfo {
    fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len_bytes
    }
}

/// One opened file.
#[derive(Clone, Debug)]
pub struct Part {
    pub path: PathBuf,
    pub bytes: Arc<FileBytes>,
}

/// The tensors of one or several files, in file order and by name. Every tensor lies within its file, and no two share a
/// name or a byte.
#[derive(Debug)]
pub struct TensorDirectory {
    parts: Vec<Part>,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl TensorDirectory {
    /// Checks names and places. The infos come from untrusted files; their `part` indexes `parts`.
    pub(crate) fn new(parts: Vec<Part>, tensors: Vec<TensorInfo>) -> Result<Self, FormatError> {
        let mut by_name = HashMap::with_capacity(tensors.len());
        for (i, tensor) in tensors.iter().enumerate() {
            let part = &parts[tensor.part];
            let end = tensor.offset.checked_add(tensor.len_bytes);
            if end.is_none_or(|end| end > part.bytes.len()) {
                let message = format!(
                    "tensor `{}` has {} bytes at offset {}, the file ends at {}; it is truncated or damaged, download it again",
                    tensor.name,
                    tensor.len_bytes,
                    tensor.offset,
                    part.bytes.len()
                );
                return Err(FormatError::invalid(&part.path, message));
            }
            if by_name.insert(tensor.name.clone(), i).is_some() {
                return Err(FormatError::invalid(&part.path, format!("two tensors are named `{}`; convert the model again", tensor.name)));
            }
        }
        refuse_overlap(&parts, &tensors)?;
        Ok(TensorDirectory { parts, tensors, by_name })
    }

    /// All tensors, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&i| &self.tensors[i])
    }

    /// The bytes of a tensor as they lie in the file. From a GGUF file they are aligned to 8 bytes, from a safetensors file
    /// perhaps not at all.
    pub fn data(&self, name: &str) -> Option<&[u8]> {
        let tensor = self.get(name)?;
        self.parts[tensor.part].bytes.get(tensor.range())
    }

    /// The opened files.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The path of the file that holds a tensor.
    pub fn path_of(&self, tensor: &TensorInfo) -> &Path {
        &self.parts[tensor.part].path
    }

    /// Reads a tensor's scales, or its values where it has none, and refuses inf and NaN with the tensor's name and block.
    pub fn check_finite(&self, tensor: &TensorInfo) -> Result<(), FormatError> {
        let bytes = self.data(&tensor.name).unwrap_or_default();
        match first_nonfinite(tensor.dtype, bytes) {
            None => Ok(()),
            Some(block) => Err(FormatError::NonFinite {
                path: self.path_of(tensor).to_path_buf(),
                tensor: one_line(&tensor.name),
                dtype: tensor.dtype.name(),
                block,
                n_blocks: bytes.len() / tensor.dtype.block_bytes(),
            }),
        }
    }

    /// The same directory under other names; tensors without one are left out.
    pub(crate) fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, FormatError> {
        let tensors = self.tensors.into_iter().filter_map(|t| Some(TensorInfo { name: rename(&t.name)?, ..t })).collect();
        TensorDirectory::new(self.parts, tensors)
    }
}

fn refuse_overlap(parts: &[Part], tensors: &[TensorInfo]) -> Result<(), FormatError> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|t| (t.part, t.offset));
    for pair in order.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        if first.part == second.part && first.range().end > second.offset {
            let message = format!(
                "tensor `{}` at bytes {}..{} overlaps tensor `{}` at {}; the file is damaged, download it again",
                first.name,
                first.offset,
                first.range().end,
                second.name,
                second.offset
            );
            return Err(FormatError::invalid(&parts[first.part].path, message));
        }
    }
    Ok(())
}

//! A model on disk, whatever its format.

use std::path::{Path, PathBuf};

use super::{FileBytes, FormatError, Gguf, Metadata, Safetensors, TensorDirectory, hf};

/// An open model: metadata under GGUF's keys and tensors under GGUF's names.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    metadata: Metadata,
    tensors: TensorDirectory,
    tokenizer_json: Option<PathBuf>,
    unread: Vec<(String, String)>,
    folder: Option<PathBuf>,
    refusal: Option<String>,
}

impl ModelFile {
    /// Opens a model by its content: a GGUF file, whole or any part of a split one, or a Hugging Face folder, also by one of
    /// its safetensors files. Files are mapped, or with `no_mmap` read.
    pub fn open(path: &Path, no_mmap: bool) -> Result<ModelFile, FormatError> {
        if path.is_dir() {
            return ModelFile::from_folder(path, path, no_mmap);
        }
        let (start, file_bytes) = FileBytes::peek(path, 9)?;
        if !Gguf::is_gguf(&start) && Safetensors::is_safetensors(&start, file_bytes) {
            // The parent of a bare file name is the empty path.
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.join("config.json").exists() {
                let message = "is a safetensors file without a `config.json` beside it; download the model's whole folder and name that";
                return Err(FormatError::invalid(path, message));
            }
            return ModelFile::from_folder(path, folder, no_mmap);
        }
        Ok(ModelFile::from_gguf(path, Gguf::open(path, no_mmap)?))
    }

    /// A model from the bytes of a GGUF file; `name` stands for the path in errors.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<ModelFile, FormatError> {
        Ok(ModelFile::from_gguf(Path::new(name), Gguf::from_bytes(name, bytes)?))
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub fn tensors(&self) -> &TensorDirectory {
        &self.tensors
    }

    /// The bytes of a tensor as they lie in the file.
    pub fn data(&self, name: &str) -> Option<&[u8]> {
        self.tensors.data(name)
    }

    /// The path of `tokenizer.json` in a Hugging Face folder; a GGUF file has its vocabulary in the metadata.
    pub fn tokenizer_json(&self) -> Option<&Path> {
        self.tokenizer_json.as_deref()
    }

    /// The Hugging Face folder that it is.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The names and types of tensors whose type is not read. Only safetensors files have some.
    pub fn unread(&self) -> &[(String, String)] {
        &self.unread
    }

    /// Why no built-in program computes a Hugging Face folder, as what comes after its path in a sentence. A GGUF file says so by its
    /// architecture.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    fn from_folder(path: &Path, folder: &Path, no_mmap: bool) -> Result<ModelFile, FormatError> {
        let hf::Folder { metadata, tensors, tokenizer_json, unread, refusal } = hf::open(folder, no_mmap)?;
        let folder = Some(folder.to_path_buf());
        Ok(ModelFile { path: path.to_path_buf(), metadata, tensors, tokenizer_json, unread, folder, refusal })
    }

    fn from_gguf(path: &Path, gguf: Gguf) -> ModelFile {
        ModelFile {
            path: path.to_path_buf(),
            metadata: gguf.metadata,
            tensors: gguf.tensors,
            tokenizer_json: None,
            unread: Vec::new(),
            folder: None,
            refusal: None,
        }
    }
}

//! Readers and writers of model files. Everything read is untrusted: no count or length from a file sizes an allocation
//! before it has been held against the bytes that are there, and each cap is stated beside its reason.

mod bytes;
mod directory;
mod error;
mod foreign;
pub mod gguf;
pub mod hf;
mod json;
mod metadata;
mod model_file;
mod safetensors;

pub use bytes::FileBytes;
pub use directory::{Part, TensorDirectory, TensorInfo};
pub use error::FormatError;
pub use foreign::foreign;
pub use gguf::{Gguf, GgufWriter};
pub use metadata::{Metadata, MetadataArray, MetadataValue, ValueType};
pub use model_file::ModelFile;
pub use safetensors::{Safetensors, save_safetensors};

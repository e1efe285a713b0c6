//! The small chat model inside the binary. `examples/demo-model` makes it.

use crate::format::{FormatError, ModelFile};

/// The GGUF file.
pub const BYTES: &[u8] = include_bytes!("../../examples/demo-model/demo.gguf");

/// Opens the built-in model.
///
/// # Errors
/// None that a build with passing tests has.
pub fn open() -> Result<ModelFile, FormatError> {
    ModelFile::from_bytes("the built-in model", BYTES.to_vec())
}

//! The small chat model inside the library, with the feature `demo`. `examples/demo-model` makes it.

use crate::format::ModelFile;

use super::EngineError;

#[cfg(feature = "demo")]
const BYTES: Option<&[u8]> = Some(include_bytes!("../../examples/demo-model/demo.gguf"));
#[cfg(not(feature = "demo"))]
const BYTES: Option<&[u8]> = None;

/// Whether this build holds the model.
pub const IS_BUILT_IN: bool = BYTES.is_some();

/// A question whose greedy answer is [`ANSWER`] on every backend in every mode: no near tie decides it.
pub const QUESTION: &str = "What can you do?";
pub const ANSWER: &str = "I can chat a little, explain `tl` and words such as tensor or KV cache, add and subtract small numbers, remember your \
                          name and tell short stories.";

/// The GGUF file.
///
/// # Errors
/// Without the feature `demo`.
pub fn bytes() -> Result<&'static [u8], EngineError> {
    BYTES.ok_or(EngineError::NoBuiltInModel)
}

/// Opens the built-in model.
///
/// # Errors
/// As `bytes`.
pub fn open() -> Result<ModelFile, EngineError> {
    Ok(ModelFile::from_bytes("the built-in model", bytes()?.to_vec())?)
}

//! The small chat model inside the binary. `examples/demo-model` makes it.

use crate::format::{FormatError, ModelFile};

/// The GGUF file.
pub const BYTES: &[u8] = include_bytes!("../../examples/demo-model/demo.gguf");

/// A question whose greedy answer is [`ANSWER`] on every backend in every mode: no near tie decides it.
pub const QUESTION: &str = "What can you do?";
pub const ANSWER: &str = "I can chat a little, explain `tl` and words such as tensor or KV cache, add and subtract small numbers, remember your \
                          name and tell short stories.";

/// Opens the built-in model.
///
/// # Errors
/// None that a build with passing tests has.
pub fn open() -> Result<ModelFile, FormatError> {
    ModelFile::from_bytes("the built-in model", BYTES.to_vec())
}

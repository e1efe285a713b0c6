//! Writing a trace as safetensors.

use std::collections::HashMap;

use crate::format::{FormatError, save_safetensors};
use crate::output::Output;
use crate::tensor::HostTensor;

use super::record::Trace;
use super::reference_file::{HISTORY, TOKENS};

/// Writes every step that is no alias under its name (`names` lists them), float types as they are traced, row-major, the first dimension
/// of a bucketed value being the true tokens. A step that is an i32 is written as i32. The ids that were fed are `tokens` `[T]`, those that
/// were fed in earlier runs `history`, unless a step has that name.
/// The header's metadata says `backend`, `position` (of the first token) and `fused`: always `false`.
///
/// # Errors
/// When the file cannot be written.
pub fn to_safetensors(trace: &Trace, output: impl Into<Output>) -> Result<(), FormatError> {
    let mut tensors: Vec<(String, HostTensor)> =
        trace.steps.iter().filter(|s| !s.is_alias).map(|s| (s.name.clone(), (*s.values).clone())).collect();
    let earlier = Some(trace.history.clone()).filter(|ids| !ids.is_empty());
    for (name, ids) in [(TOKENS, trace.token_ids()), (HISTORY, earlier)] {
        if let (Some(ids), None) = (ids, trace.step(name)) {
            tensors.push((name.to_owned(), HostTensor::i32([ids.len()], ids)));
        }
    }
    let metadata = HashMap::from([
        ("backend".to_owned(), trace.backend.clone()),
        ("position".to_owned(), trace.position().to_string()),
        ("fused".to_owned(), "false".to_owned()),
    ]);
    save_safetensors(output, &tensors, metadata)
}

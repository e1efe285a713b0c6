//! JSON files of a Hugging Face folder.

use std::path::Path;

use serde_json::Value;

use super::{FormatError, foreign};

/// The largest are indices and tokenizer configurations of some MB; a parsed value takes some ten times its text.
const MAX_BYTES: u64 = 32 << 20;

/// Reads a JSON file.
pub(super) fn read(path: &Path) -> Result<Value, FormatError> {
    let io = |e| FormatError::io(path, "read", e);
    let kind = std::fs::metadata(path).map_err(io)?;
    if !kind.is_file() || kind.len() > MAX_BYTES {
        return Err(FormatError::invalid(path, format!("is no file of at most {MAX_BYTES} bytes ({} bytes)", kind.len())));
    }
    parse(path, &std::fs::read(path).map_err(io)?)
}

/// Reads a JSON file that may be absent.
pub(super) fn read_optional(path: &Path) -> Result<Option<Value>, FormatError> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Value, FormatError> {
    if let Some(what) = foreign(bytes) {
        return Err(FormatError::invalid(path, what));
    }
    serde_json::from_slice(bytes).map_err(|e| FormatError::invalid(path, format!("is not JSON: {e}; download it again")))
}

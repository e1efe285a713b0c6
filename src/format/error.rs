//! What is wrong with a file: one line that names it, the field and the numbers.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::output::OutputError;

/// Why a model file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The operating system refused. `action` is a verb: "open", "read", "write".
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The contents are not what the format asks for.
    #[error("`{}`: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
    /// A weight holds inf or NaN. A block of a plain number type is one number.
    #[error("`{}`: tensor `{tensor}` ({dtype}) holds inf or NaN in block {block} of {n_blocks}; the file is damaged, download or convert it again", path.display())]
    NonFinite { path: PathBuf, tensor: String, dtype: &'static str, block: usize, n_blocks: usize },
}

impl FormatError {
    pub(crate) fn invalid(path: &Path, message: impl Into<String>) -> Self {
        FormatError::Invalid { path: path.to_path_buf(), message: one_line(&message.into()) }
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        FormatError::Io { path: path.to_path_buf(), action, source }
    }
}

/// Text that may hold pieces of an untrusted file, as one line of bounded length: a tensor's name must not move the cursor.
pub(crate) fn one_line(text: &str) -> String {
    const MAX_CHARS: usize = 600;
    let mut line = String::new();
    for (i, c) in text.chars().enumerate() {
        match c {
            _ if i == MAX_CHARS => {
                line.push('…');
                break;
            }
            c if c.is_control() => {
                let _ = write!(line, "{}", c.escape_debug());
            }
            c => line.push(c),
        }
    }
    line
}

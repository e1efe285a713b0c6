//! The one message of `tl chat --prompt`: as typed, from a file, or from standard input.

use std::io::{IsTerminal, Read, stdin};

use super::super::args::ChatArgs;
use super::super::error::CliError;
use super::MESSAGE_BYTES_MAX;

/// The message to answer; none where messages are typed or piped one a line.
///
/// # Errors
/// When a file or standard input cannot be read, is no text, or is longer than a message may be.
pub fn of(args: &ChatArgs) -> Result<Option<String>, CliError> {
    if let Some(path) = &args.file {
        let file = std::fs::File::open(path).map_err(|e| CliError::failed(format!("cannot read `{}`: {e}", path.display())))?;
        let text = text_of(file, &format!("`{}`", path.display()))?;
        return Ok(Some(text.trim_end().to_owned()));
    }
    let Some(prompt) = args.prompt.as_ref().or(args.words.as_ref()) else { return Ok(None) };
    if prompt == "-" {
        return Ok(Some(text_of(stdin().lock(), "standard input")?.trim_end().to_owned()));
    }
    if stdin().is_terminal() {
        return Ok(Some(prompt.clone()));
    }
    // A document behind a question: `tl chat --prompt "Sum this up" < notes.txt`.
    let document = text_of(stdin().lock(), "standard input")?;
    let document = document.trim_end();
    Ok(Some(if document.is_empty() { prompt.clone() } else { format!("{prompt}\n\n{document}") }))
}

fn text_of(source: impl Read, what: &str) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    source.take(MESSAGE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|e| CliError::failed(format!("cannot read {what}: {e}")))?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(CliError::failed(format!("{what} has more than the {MESSAGE_BYTES_MAX} bytes of a message; give it in parts")));
    }
    String::from_utf8(bytes).map_err(|e| CliError::failed(format!("{what} is no UTF-8 text at byte {}", e.utf8_error().valid_up_to())))
}

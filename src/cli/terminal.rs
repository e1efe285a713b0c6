//! What stderr and stdout are, and what that allows.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::path::PathBuf;

use crate::diag::Color;

use super::error::CliResult;

/// A line of a command's result, on stdout.
///
/// # Errors
/// `BrokenPipe` when its reader has gone.
pub fn say(line: impl Display) -> CliResult {
    Ok(writeln!(stdout().lock(), "{line}")?)
}

/// Text of a command's result that ends its own lines, on stdout.
///
/// # Errors
/// As `say`.
pub fn say_text(text: impl Display) -> CliResult {
    Ok(write!(stdout().lock(), "{text}")?)
}

/// A line about the result, on stderr. Where nobody reads it, the result is no worse.
pub fn note(line: impl Display) {
    let _ = writeln!(stderr().lock(), "{line}");
}

/// Whether a person sees stderr in colour.
pub fn color() -> Color {
    if stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() { Color::Always } else { Color::Never }
}

/// Whether a person types and reads.
pub fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Whether thinking is shown dimmed: only where a terminal shows it.
pub fn dims() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Where lines are remembered between sessions, by the name of a file of our own.
pub fn history_path(file: &str) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE")).map(PathBuf::from);
    let folder = state.or_else(|| home.map(|h| h.join(".local/state")))?.join("tl");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join(file))
}

/// A line on stderr that overwrites itself, on a terminal alone.
pub struct Mark {
    shown: bool,
}

impl Mark {
    pub fn new() -> Self {
        Mark { shown: false }
    }

    pub fn show(&mut self, text: &str) {
        if stderr().is_terminal() {
            // A mark that cannot be drawn is no reason to stop.
            let _ = write!(stderr(), "\r\x1b[K{text}");
            let _ = stderr().flush();
            self.shown = true;
        }
    }

    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(stderr(), "\r\x1b[K");
            let _ = stderr().flush();
        }
    }
}

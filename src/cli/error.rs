//! What a command can end with, and the exit code of each.

use std::io;
use std::process::ExitCode;

use tensorlogic::output::OutputError;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum CliError {
    /// The program or the model failed: exit code 1. The text is a rendered diagnostic or one line.
    Failed(String),
    /// The arguments do not fit together: exit code 2.
    Usage(String),
    /// No usable device, or a named backend is absent: exit code 3.
    Device(String),
    /// Whoever read our output has gone: exit code 0, like any filter.
    BrokenPipe,
    /// Failed, and everything was said already: exit code 1.
    Silent,
}

impl CliError {
    pub fn failed(error: impl std::fmt::Display) -> Self {
        CliError::Failed(one_line(&format!("error: {error}")))
    }

    pub fn usage(error: impl std::fmt::Display) -> Self {
        CliError::Usage(one_line(&format!("error: {error}")))
    }

    /// The line for stderr, if there is one, and the exit code.
    pub fn report(self) -> (Option<String>, ExitCode) {
        match self {
            CliError::Failed(text) => (Some(text), ExitCode::from(1)),
            CliError::Usage(text) => (Some(text), ExitCode::from(2)),
            CliError::Device(text) => (Some(format!("error: {text}")), ExitCode::from(3)),
            CliError::BrokenPipe => (None, ExitCode::SUCCESS),
            CliError::Silent => (None, ExitCode::from(1)),
        }
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { CliError::BrokenPipe } else { CliError::failed(error) }
    }
}

impl From<OutputError> for CliError {
    fn from(error: OutputError) -> Self {
        if error.is_usage() { CliError::usage(error) } else { CliError::failed(error) }
    }
}

/// A message may quote a file, whose text must neither break the line nor move the cursor.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' | '\t' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

pub type CliResult = Result<(), CliError>;

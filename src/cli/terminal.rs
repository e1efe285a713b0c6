//! What stderr and stdout are, and what that allows.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Result, Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tensorlogic::diag::Color;
use tensorlogic::environment;

use super::error::{CliError, CliResult};

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

/// Whether whoever read our stdout has gone. Stdout is the process's, and so is this.
static READER_GONE: AtomicBool = AtomicBool::new(false);

/// Stdout for what programs print: a program fails when its reader has gone, the command that runs it does not.
pub struct ProgramOut;

impl ProgramOut {
    /// What a command ends with when a program could not print: nothing is wrong with the program.
    ///
    /// # Errors
    /// `BrokenPipe` when the reader of stdout has gone.
    pub fn check() -> CliResult {
        if READER_GONE.load(Ordering::Relaxed) { Err(CliError::BrokenPipe) } else { Ok(()) }
    }
}

impl Write for ProgramOut {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        noticing(stdout().write(bytes))
    }

    fn flush(&mut self) -> Result<()> {
        noticing(stdout().flush())
    }
}

fn noticing<T>(result: Result<T>) -> Result<T> {
    result.inspect_err(|e| {
        if e.kind() == ErrorKind::BrokenPipe {
            READER_GONE.store(true, Ordering::Relaxed);
        }
    })
}

/// Whether `--quiet` was given.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on notes are left out.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// A line about the result, on stderr; none under `--quiet`. Where nobody reads it, the result is no worse.
pub fn note(line: impl Display) {
    if !QUIET.load(Ordering::Relaxed) {
        error(line);
    }
}

/// A line on stderr that says what went wrong, or that a person asked for.
pub fn error(line: impl Display) {
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

/// The columns of the terminal that stdout is; none where it is no terminal, or one that does not say.
pub fn columns() -> Option<usize> {
    #[cfg(unix)]
    {
        let size = stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(rustix::stdio::stdout()))?.ok()?;
        Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
    }
    #[cfg(not(unix))]
    None
}

/// Where lines are remembered between sessions, by the name of a file of our own: in the folder of `TL_HISTORY`, where empty means nowhere,
/// else in `tl` under `XDG_STATE_HOME`.
pub fn history_path(file: &str) -> Option<PathBuf> {
    if let Some(folder) = environment::HISTORY.path() {
        let folder = folder?;
        std::fs::create_dir_all(&folder).ok()?;
        return Some(folder.join(file));
    }
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

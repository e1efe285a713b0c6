//! Ctrl-C: stops what is going on, not the program.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::CliError;
use super::signals;

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on Ctrl-C sets the flag; pressed again before anyone has seen it, it ends the program.
pub fn install() -> Result<Arc<AtomicBool>, CliError> {
    if let Some(flag) = FLAG.get() {
        return Ok(flag.clone());
    }
    let flag = FLAG.get_or_init(|| Arc::new(AtomicBool::new(false))).clone();
    let seen = flag.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            signals::restore_terminal();
            #[allow(clippy::disallowed_methods, reason = "nothing answered the first Ctrl-C, so nothing else will end the process")]
            std::process::exit(130);
        }
    })
    .map_err(|e| {
        CliError::failed(format!("cannot watch for Ctrl-C: {e}; no thread was to be had: give the process more memory (`ulimit -v`)"))
    })?;
    Ok(flag)
}

/// Whether Ctrl-C was pressed since the last call.
pub fn take(flag: &AtomicBool) -> bool {
    flag.swap(false, Ordering::SeqCst)
}

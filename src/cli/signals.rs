//! Signals that end the process: the terminal is left as it was found, and one sentence says what happened where nobody else will.
//!
//! What runs within a signal may call nothing that takes a lock or memory: here it makes system calls alone.

#[cfg(unix)]
mod unix {
    use std::sync::OnceLock;

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
    use signal_hook::consts::{SIGABRT, SIGBUS, SIGHUP, SIGQUIT, SIGTERM, SIGXFSZ};
    use signal_hook::low_level::{emulate_default_handler, exit, register};

    /// As the terminal was before a line editor changed it.
    static FOUND: OnceLock<Termios> = OnceLock::new();

    const LOST_FILE: &[u8] = b"error: a file was cut short or its disk failed while the program read it; give a whole file, or --no-mmap\n";
    const ABORTED: &[u8] =
        b"error: the process had to stop: no memory was left, or a driver gave up; a smaller model or --ctx needs less, \
        --backend cpu needs no driver\n";

    pub fn watch_faults() {
        // The library of Rust resets the signal when it comes for no stack, and a second thread that touches the file would end the process without
        // a word. Where stacks end in another signal it can be left out.
        #[cfg(target_os = "linux")]
        // SAFETY: nothing else changes what the signal does.
        unsafe {
            libc::signal(SIGBUS, libc::SIG_DFL);
        }
        on(SIGBUS, || end(LOST_FILE));
        on(SIGABRT, || end(ABORTED));
        // A file that grows past a limit is an error of the write, after which its unfinished part is removed.
        on(SIGXFSZ, || {});
    }

    pub fn keep_terminal() {
        if let Ok(found) = tcgetattr(rustix::stdio::stdin())
            && FOUND.set(found).is_ok()
        {
            for signal in [SIGTERM, SIGHUP, SIGQUIT] {
                on(signal, move || {
                    restore_terminal();
                    // The caller sees the signal that ended us.
                    let _ = emulate_default_handler(signal);
                });
            }
        }
    }

    pub fn restore_terminal() {
        let Some(found) = FOUND.get() else { return };
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, found);
        // Ends bracketed paste and the dim text of a model that thinks.
        let _ = rustix::io::write(rustix::stdio::stdout(), b"\x1b[?2004l\x1b[0m\r\n");
    }

    fn end(message: &[u8]) {
        restore_terminal();
        let _ = rustix::io::write(rustix::stdio::stderr(), message);
        exit(1);
    }

    fn on(signal: i32, action: impl Fn() + Sync + Send + 'static) {
        // SAFETY: the actions make system calls alone, none of which takes a lock of this process.
        let registered = unsafe { register(signal, action) };
        if let Err(error) = registered {
            log::warn!("signal {signal} is not watched: {error}");
        }
    }
}

/// From here on a lost file and an abort are said in one sentence, and end the process with exit code 1.
pub fn watch_faults() {
    #[cfg(unix)]
    unix::watch_faults();
}

/// Remembers how the terminal is, so that a signal that ends the process leaves it so. For sessions that edit lines.
pub fn keep_terminal() {
    #[cfg(unix)]
    unix::keep_terminal();
}

/// The terminal as it was found, before the process ends without its destructors.
pub fn restore_terminal() {
    #[cfg(unix)]
    unix::restore_terminal();
}

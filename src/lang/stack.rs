//! How much of the thread's stack is left: recursion of a program must end in a diagnostic, not in a crash.

use std::cell::Cell;
use std::thread;

/// The stack of the thread that `on_deep_stack` makes. Pages are only taken when they are touched.
const DEEP_STACK_BYTES: usize = 256 << 20;

/// The part of a limited address space that it takes at most: the rest is for weights, threads and drivers.
const SHARE: u64 = 8;

/// With less, not even a program without calls runs.
const LEAST_STACK_BYTES: usize = 4 << 20;

/// What a thread of unknown size is trusted with: main threads have 1 MiB at least, where this is less.
const UNKNOWN_STACK_BYTES: usize = 512 << 10;

/// What must be left for one more expression, a builtin and everything below it.
const RESERVE_BYTES: usize = 192 << 10;

thread_local! {
    /// The lowest address that recursion may reach; 0: not known yet.
    static LIMIT: Cell<usize> = const { Cell::new(0) };
}

/// Runs `f` on a thread with room for thousands of nested calls, and waits for it. A panic goes on here.
///
/// # Errors
/// When the system gives no thread.
pub fn on_deep_stack<T: Send>(f: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    thread::scope(|scope| {
        let stack_bytes = deep_stack_bytes();
        let run = move || {
            LIMIT.set(here().saturating_sub(stack_bytes - RESERVE_BYTES));
            f()
        };
        let handle = thread::Builder::new().name("program".into()).stack_size(stack_bytes).spawn_scoped(scope, run)?;
        Ok(handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn deep_stack_bytes() -> usize {
    let share = usize::try_from(address_space() / SHARE).unwrap_or(usize::MAX);
    DEEP_STACK_BYTES.min(share.max(LEAST_STACK_BYTES))
}

/// The bytes of memory that the process may map (`ulimit -v`); the largest number where nothing limits them.
pub fn address_space() -> u64 {
    #[cfg(unix)]
    {
        rustix::process::getrlimit(rustix::process::Resource::As).current.unwrap_or(u64::MAX)
    }
    #[cfg(not(unix))]
    u64::MAX
}

/// Whether another level of recursion might not fit. Stacks grow downwards on every platform the engine runs on.
pub fn is_low() -> bool {
    LIMIT.with(|limit| {
        if limit.get() == 0 {
            limit.set(here().saturating_sub(UNKNOWN_STACK_BYTES));
        }
        here() < limit.get()
    })
}

fn here() -> usize {
    let mark = 0u8;
    std::hint::black_box(&raw const mark) as usize
}

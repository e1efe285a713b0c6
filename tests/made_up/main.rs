//! An architecture and a weight format that nobody has, added by the files that ARCHITECTURE.md says ("Adding things") and no others. They lie
//! beside this file: `parallel.tl`; and `z6_0`, with the format, its layout on the GPU and its fragment.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod architecture;
mod exact;
mod format;
#[path = "../scratch/mod.rs"]
mod scratch;
#[path = "../support/mod.rs"]
mod support;
mod z6_0;

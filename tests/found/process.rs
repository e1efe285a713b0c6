//! What a long life, a signal or a bad input does to the process.

mod engine;
#[cfg(unix)]
mod signals;
mod streams;
mod turns;

#[path = "../cli/process.rs"]
mod binary;

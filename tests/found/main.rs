//! Faults that were found by trying the product, each held here so that it stays mended.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod batches;
mod beams;
mod blame;
mod drafts;
mod files;
mod folders;
mod kernels;
mod language;
mod library;
mod models;
mod numbers;
mod outputs;
mod pages;
#[path = "../support/printed.rs"]
mod printed;
mod process;
mod programs;
mod scheduler;
#[path = "../scratch/mod.rs"]
mod scratch;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod traces;
mod turns;

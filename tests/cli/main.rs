//! The binary as a user runs it: what it prints and where, how it ends, and what it makes of bad input.

#![allow(dead_code, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "the helpers of tests are tests too")]

mod answers;
mod bad_flags;
mod bad_models;
mod book;
mod config;
mod demo_model;
mod documents;
mod drafts;
mod editors;
mod environment;
mod examples;
mod faults;
mod fingers;
mod kept;
mod lsp;
mod models;
mod outputs;
mod process;
mod readme;
mod repeat;
#[path = "../scratch/mod.rs"]
mod scratch;
mod several;
#[cfg(unix)]
mod terminal;

//! Traces of the tiny models.

#![allow(dead_code, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "the helpers of tests are tests too")]

#[path = "../scratch/mod.rs"]
mod scratch;
#[path = "../support/mod.rs"]
mod support;

mod backends;
mod comparison;
mod faults;
mod language;
mod mistakes;
mod steps;

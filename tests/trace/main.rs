//! Traces of the tiny models.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../support/mod.rs"]
mod support;

mod backends;
mod comparison;
mod faults;
mod language;
mod steps;

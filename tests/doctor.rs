//! Every kernel of every backend against the definition: the checks of `tl doctor`, all in one process.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use support::backends;
use tensorlogic::doctor::{Arithmetic, cases, check};
use tensorlogic::graph::Executor;
use tensorlogic::reference::ReferenceExecutor;

/// Runs every case and fails with the list of those that do not hold.
fn assert_all_hold(arithmetic: Arithmetic, executor: &mut dyn Executor) {
    let cases = cases(arithmetic);
    let n_cases = cases.len();
    let failures: Vec<String> = cases
        .iter()
        .map(|case| check(case, executor))
        .filter(|outcome| !outcome.passed())
        .map(|o| format!("{}: {:?} (bound {:?})", o.name, o.verdict, o.bound))
        .collect();
    assert!(failures.is_empty(), "{} of {n_cases} cases fail on {}:\n{}", failures.len(), executor.describe(), failures.join("\n"));
}

/// The cases themselves are well formed: the definition runs them all.
#[test]
fn the_reference_runs_every_case() {
    assert_all_hold(Arithmetic::Precise, &mut ReferenceExecutor::new());
}

/// Both backends, in both modes of arithmetic.
#[test]
fn every_backend_agrees_with_the_definition() {
    for backend in backends() {
        for (arithmetic, precise) in [(Arithmetic::Precise, true), (Arithmetic::Fast, false)] {
            assert_all_hold(arithmetic, &mut *(backend.open)(precise));
        }
    }
}

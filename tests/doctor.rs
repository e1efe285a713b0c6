//! The checks of `tl doctor` themselves. `tests/cpu.rs` and `tests/gpu.rs` hold the backends to them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

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

//! The GPU backend on the adapter at hand: every kernel against the definition, counters, faults.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use tensorlogic::doctor::{Arithmetic, cases, check};
use tensorlogic::gpu::{GpuExecutor, GpuOptions};
use tensorlogic::graph::Executor;

/// The executor of the adapter at hand, software adapters included. Without one the test is skipped, or fails under `TL_REQUIRE_GPU=1`.
fn executor(precise: bool) -> Option<GpuExecutor> {
    let options = GpuOptions { precise, allow_software: true, ..GpuOptions::from_env() };
    match GpuExecutor::new(&options) {
        Ok(executor) => Some(executor),
        Err(error) => {
            assert!(std::env::var("TL_REQUIRE_GPU").is_err(), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

/// Runs the cases whose name holds `TL_CASE`, all without it.
fn assert_all_hold(arithmetic: Arithmetic) {
    let Some(mut executor) = executor(arithmetic == Arithmetic::Precise) else { return };
    let only = std::env::var("TL_CASE").unwrap_or_default();
    let cases: Vec<_> = cases(arithmetic).into_iter().filter(|case| case.name.contains(&only)).collect();
    let failures: Vec<String> = cases
        .iter()
        .map(|case| check(case, &mut executor))
        .filter(|outcome| !outcome.passed())
        .map(|o| format!("{}: {:?} (bound {:?})", o.name, o.verdict, o.bound))
        .collect();
    assert!(failures.is_empty(), "{} of {} cases fail on {}:\n{}", failures.len(), cases.len(), executor.describe(), failures.join("\n"));
}

#[test]
fn precise_kernels_agree_with_the_definition() {
    assert_all_hold(Arithmetic::Precise);
}

#[test]
fn fast_kernels_agree_with_the_definition() {
    assert_all_hold(Arithmetic::Fast);
}

//! The CPU backend against the definition: every kernel on odd shapes, both modes, every level of instructions, poisoned buffers.

use tensorlogic::cpu::{CpuExecutor, CpuOptions, Isa};
use tensorlogic::doctor::{Arithmetic, cases, check};
use tensorlogic::graph::Executor;

fn assert_all_hold(arithmetic: Arithmetic, isa: Isa, threads: usize) {
    let options = CpuOptions { precise: arithmetic == Arithmetic::Precise, threads: Some(threads), isa: Some(isa) };
    let mut executor = CpuExecutor::new(options);
    let cases = cases(arithmetic);
    let n_cases = cases.len();
    let failures: Vec<String> = cases
        .iter()
        .map(|case| check(case, &mut executor))
        .filter(|outcome| !outcome.passed())
        .map(|o| format!("{}: {:?} (bound {:?})", o.name, o.verdict, o.bound))
        .collect();
    assert!(failures.is_empty(), "{} of {n_cases} cases fail on {}:\n{}", failures.len(), executor.describe(), failures.join("\n"));
}

#[test]
fn every_case_holds_with_int8_activations() {
    for isa in Isa::available() {
        assert_all_hold(Arithmetic::Fast, isa, 2);
    }
}

#[test]
fn every_case_holds_in_precise_mode() {
    for isa in Isa::available() {
        assert_all_hold(Arithmetic::Precise, isa, 3);
    }
}

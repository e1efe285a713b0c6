//! Every graph of the doctor has a sound plan that computes what the definition says, fused or not, with epilogues or without.

use crate::doctor::{Arithmetic, Verdict, cases, check};
use crate::plan::Target;

use super::interpreter::Interpreter;

#[test]
fn every_case_of_the_doctor_agrees_with_the_definition() {
    let targets = [Target { norm_prologue_rows: 8, epilogue_rows: 8 }, Target { norm_prologue_rows: 0, epilogue_rows: 0 }];
    let mut failed = Vec::new();
    for case in cases(Arithmetic::Precise) {
        for target in targets {
            let outcome = check(&case, &mut Interpreter::new(target));
            match outcome.verdict {
                Verdict::Pass { .. } => {}
                // Caches of fewer bits are rounded by backends, not by plans.
                _ if case.cache.is_some_and(|c| c.kv_type != crate::graph::KvType::F32) => {}
                verdict => failed.push(format!("{}: {verdict:?}", outcome.name)),
            }
        }
    }
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
}

//! Every graph of the doctor has a sound plan that computes what the definition says, fused or not, with epilogues or without, and whole blocks
//! whatever rule is off.

use crate::doctor::{Arithmetic, Verdict, cases, check};
use crate::graph::KvType;
use crate::plan::{Choice, Off, Rule, Target};

use super::block::TARGET;
use super::interpreter::Interpreter;

#[test]
fn every_case_of_the_doctor_agrees_with_the_definition() {
    let without_epilogues = Target { norm_prologue_rows: 0, epilogue_rows: 0, off: Off::NONE };
    let without = |off| Target { off, ..TARGET };
    let mut blocks = vec![TARGET, without_epilogues, without(Off::all())];
    blocks.extend(Rule::ALL.iter().map(|&rule| without(Off::of(&[rule]))));
    let mut failed = Vec::new();
    // The interpreter's cache rounds nothing; rounding is a backend's.
    for case in cases(Arithmetic::Precise).iter().filter(|c| c.cache.is_none_or(|c| c.kv_type == KvType::F32)) {
        let targets = if case.name.starts_with("block") { blocks.clone() } else { vec![TARGET] };
        for target in targets {
            let outcome = check(case, &mut Interpreter::new(target));
            if !matches!(outcome.verdict, Verdict::Pass { .. }) {
                failed.push(format!("{} without {}: {:?}", outcome.name, target.off, outcome.verdict));
            }
        }
    }
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
}

//! Every graph of the doctor has a plan, fused or not.

use crate::doctor::{Arithmetic, cases};
use crate::graph::CompileOptions;
use crate::plan::{Target, compile, verify};

pub const TARGETS: [Target; 2] = [Target { norm_prologue_rows: 8, epilogue_rows: 8 }, Target { norm_prologue_rows: 0, epilogue_rows: 0 }];

#[test]
fn every_case_of_the_doctor_has_a_sound_plan() {
    for case in cases(Arithmetic::Precise) {
        for (fuse, target) in [(true, TARGETS[0]), (true, TARGETS[1]), (false, TARGETS[0])] {
            for run in &case.runs {
                let options = CompileOptions { fuse, caches: case.cache.into_iter().collect() };
                let plan = compile(&run.graph, &run.outputs, &options, &target).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                verify(&plan).unwrap_or_else(|e| panic!("{}: {e}\n{plan}", case.name));
            }
        }
    }
}

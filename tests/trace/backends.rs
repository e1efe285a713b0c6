//! The device backends against the definition and against themselves, step by step, with the code that `tl trace` uses.

use tensorlogic::cpu::{CpuExecutor, CpuOptions};
use tensorlogic::graph::{CacheSpec, Executor, KvType};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::trace::{Comparison, Reference, Rounding, Select, Tolerance, Trace, compare, diagnose};

use crate::support::traced::Subject;
use crate::support::{Llama, read_expected};

fn cpu(precise: bool) -> CpuExecutor {
    CpuExecutor::new(CpuOptions { precise, threads: Some(2), ..CpuOptions::default() })
}

fn assert_agrees(what: &str, trace: &Trace, reference: &Reference, comparison: &Comparison) {
    let diagnosis = diagnose(trace, reference, comparison);
    assert!(comparison.agrees(), "{what}: {:?}\n{diagnosis:#?}", comparison.first_wrong.map(|i| &comparison.steps[i]));
}

#[test]
fn the_cpu_agrees_with_the_definition_at_every_step() {
    for model in ["tiny-f32", "tiny-q4_0", "tiny-mixed"] {
        let subject = Subject::new(model, 13);
        let exact = Reference::from_trace(&subject.trace(&mut ReferenceExecutor::new(), Select::EveryOp));
        for (precise, rounding) in [(true, Rounding::F32), (false, Rounding::Int8)] {
            let trace = subject.trace(&mut cpu(precise), Select::EveryOp);
            let comparison = compare(&trace, &exact, Tolerance::of(rounding));
            assert_agrees(&format!("{model}, precise {precise}"), &trace, &exact, &comparison);
            assert_eq!(comparison.n_compared(), trace.steps.len());
        }
    }
}

#[test]
fn the_cpu_gives_the_same_bits_each_time() {
    let subject = Subject::new("tiny-mixed", 13);
    let mut executor = cpu(false);
    let first = Reference::from_trace(&subject.trace(&mut executor, Select::EveryOp));
    for _ in 0..2 {
        let trace = subject.trace(&mut executor, Select::EveryOp);
        assert_agrees("again", &trace, &first, &compare(&trace, &first, Tolerance::Bits));
    }
}

/// The published reference values, where they are at hand: every step that they have.
#[test]
fn stories_agree_with_their_exact_values() {
    let Some(folder) = std::env::var_os("TL_REFERENCE").map(std::path::PathBuf::from) else {
        eprintln!("skipped: TL_REFERENCE is not set");
        return;
    };
    for (model, kv_type, rounding) in [("stories260K-f32", KvType::F32, Rounding::F32), ("synthetic-f32", KvType::F16, Rounding::F16)] {
        let expected = folder.join("expected").join(format!("{model}.safetensors"));
        let llama = Llama::open(&folder.join("models").join(format!("{model}.gguf")));
        let ids = read_expected(&expected)["tokens"].as_i32().unwrap().to_vec();
        let spec = CacheSpec { kv_type, ..llama.cache(128, 64, 4, KvType::F32) };
        let subject = Subject { bucket: ids.len().next_power_of_two(), llama, ids, spec };
        let reference = Reference::from_file(&expected).unwrap();
        let executors: [Box<dyn Executor>; 2] = [Box::new(ReferenceExecutor::new()), Box::new(cpu(true))];
        for mut executor in executors {
            let trace = subject.trace(executor.as_mut(), Select::Labelled);
            let comparison = compare(&trace, &reference, Tolerance::of(rounding));
            assert_agrees(&format!("{model} on {}", trace.backend), &trace, &reference, &comparison);
            assert!(comparison.n_compared() >= 3 + 2 + 15, "{}", comparison.n_compared());
        }
    }
}

//! Comparisons that agree, and what they do with gaps, bits and shapes.

use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::tensor::HostTensor;
use tensorlogic::trace::{Outcome, Reference, Rounding, Select, Tolerance, compare, diagnose, local_error};

use crate::support::faulty::{Fault, FaultyExecutor};
use crate::support::fixture;
use crate::support::traced::Subject;

#[test]
fn the_reference_agrees_with_the_committed_file() {
    for (model, n_compared) in [("tiny-f32", 3 + 15), ("tiny-q4_0", 3), ("tiny-mixed", 3)] {
        let trace = Subject::new(model, 13).trace(&mut ReferenceExecutor::new(), Select::Labelled);
        let reference = Reference::from_file(&fixture(&format!("{model}.safetensors"))).unwrap();
        let comparison = compare(&trace, &reference, Tolerance::of(Rounding::F32));
        let n_layers = trace.steps.iter().filter(|s| s.name.ends_with(".output")).count();
        assert!(comparison.agrees(), "{model}: {:?}", comparison.first_wrong.map(|i| &comparison.steps[i]));
        assert_eq!(comparison.n_compared(), n_compared + n_layers, "{model}");
        assert_eq!(comparison.unused, ["greedy"], "{model}");
        assert!(diagnose(&trace, &reference, &comparison).is_none());
    }
}

#[test]
fn two_runs_of_one_backend_are_equal_in_every_bit() {
    let subject = Subject::new("tiny-q4_0", 5);
    let mut executor = ReferenceExecutor::new();
    let first = subject.trace(&mut executor, Select::EveryOp);
    let second = subject.trace(&mut executor, Select::EveryOp);
    let comparison = compare(&second, &Reference::from_trace(&first), Tolerance::Bits);
    assert!(comparison.agrees() && comparison.n_compared() == first.steps.len());
}

#[test]
fn one_bit_fails_a_comparison_of_bits_and_no_other() {
    let subject = Subject::new("tiny-f32", 5);
    let exact = Reference::from_trace(&subject.trace(&mut ReferenceExecutor::new(), Select::Labelled));
    let next = |v: &mut HostTensor| {
        let mut values = v.as_f32().unwrap().to_vec();
        values[3] = f32::from_bits(values[3].to_bits() + 1);
        *v = HostTensor::f32(v.shape.clone(), values);
    };
    let trace = subject.trace(&mut FaultyExecutor::new(Fault::tamper("logits", next)), Select::Labelled);
    assert!(compare(&trace, &exact, Tolerance::of(Rounding::F32)).agrees());
    let comparison = compare(&trace, &exact, Tolerance::Bits);
    let diagnosis = diagnose(&trace, &exact, &comparison).unwrap();
    assert_eq!(diagnosis.name, "logits");
}

#[test]
fn a_step_alone_is_exact_on_its_own_inputs() {
    let trace = Subject::new("tiny-mixed", 13).trace(&mut ReferenceExecutor::new(), Select::EveryOp);
    for (i, step) in trace.steps.iter().enumerate() {
        let error = local_error(&trace, i).unwrap_or_else(|| panic!("{} is not known alone", step.name));
        assert!(error < 1e-6, "{}: {error:e}", step.name);
    }
}

#[test]
fn other_shapes_are_a_difference_and_missing_steps_are_none() {
    let trace = Subject::new("tiny-f32", 3).trace(&mut ReferenceExecutor::new(), Select::Labelled);
    let tensors = vec![("blk.1.q".to_owned(), HostTensor::f32([2, 5], vec![0.0; 10]))];
    let reference = Reference::new("file".to_owned(), tensors);
    let comparison = compare(&trace, &reference, Tolerance::of(Rounding::F32));
    assert_eq!(comparison.n_compared(), 1);
    let first = &comparison.steps[comparison.first_wrong.unwrap()];
    assert_eq!((first.name.as_str(), &first.outcome), ("blk.1.q", &Outcome::Shape([2, 5].into())));
    assert!(!compare(&trace, &Reference::new("empty".to_owned(), Vec::new()), Tolerance::Bits).agrees(), "nothing was compared");
}

//! The CPU backend against the definition: every kernel on odd shapes, both modes, every level of instructions, poisoned buffers.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::sync::Arc;

use tensorlogic::cpu::{CpuExecutor, CpuOptions, Isa};
use tensorlogic::doctor::{Arithmetic, cases, check};
use tensorlogic::graph::{Binding, CompileOptions, Counters, Executor, Graph, ReduceOp, RunArgs, UnaryOp, Weight};
use tensorlogic::tensor::{DType, HostTensor};

fn assert_all_hold(arithmetic: Arithmetic, isa: Isa, threads: usize) {
    let options = CpuOptions {
        precise: arithmetic == Arithmetic::Precise,
        threads: Some(threads),
        isa: Some(isa),
        poison: true,
        ..CpuOptions::default()
    };
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

/// A warm run makes nothing: of all counters only those of work done move.
#[test]
fn a_warm_run_takes_no_new_buffer() {
    let mut graph = Graph::new();
    let x = graph.input([64, 64], DType::F32);
    let y = graph.unary(UnaryOp::Exp, x).unwrap();
    let sum = graph.reduce(ReduceOp::Sum, y, 1, false).unwrap();
    let out = graph.softmax(sum, 0).unwrap();
    let mut cpu = CpuExecutor::new(CpuOptions::default());
    let program = cpu.compile(&graph, &[out], &CompileOptions { fuse: true, caches: Vec::new() }).unwrap();
    let input = Arc::new(HostTensor::f32([64, 64], vec![0.5; 64 * 64]));
    let mut before = None;
    for _ in 0..5 {
        let args = RunArgs { inputs: vec![Binding::Host(input.clone())], ..RunArgs::default() };
        let outputs = cpu.run(program, &args).unwrap();
        cpu.read(&outputs[0]).unwrap();
        let made = Counters { dispatches: 0, submits: 0, steps: 0, ..cpu.counters() };
        assert_eq!(*before.get_or_insert(made), made);
    }
}

#[test]
fn a_weight_with_nan_is_refused_by_name_and_block() {
    let mut values = [1.0f32; 4 * 8];
    values[19] = f32::NAN;
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut graph = Graph::new();
    let x = graph.input([1, 8], DType::F32);
    let w = graph.weight(Arc::new(Weight::new("blk.0.ffn_up.weight", [4, 8], DType::F32, Arc::new(bytes))));
    let y = graph.linear(x, w).unwrap();
    let error = CpuExecutor::new(CpuOptions::default()).compile(&graph, &[y], &CompileOptions { fuse: true, caches: Vec::new() });
    let message = error.unwrap_err().to_string();
    assert!(message.contains("blk.0.ffn_up.weight") && message.contains("block 19"), "{message}");
}

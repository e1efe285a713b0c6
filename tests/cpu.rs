//! The CPU backend against the definition: every kernel on odd shapes, both modes, every level of instructions, poisoned buffers.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::sync::Arc;

use support::{Sizes, random_llama, run_logits};
use tensorlogic::cpu::{CpuExecutor, CpuOptions, Isa};
use tensorlogic::doctor::{Arithmetic, cases, check};
use tensorlogic::graph::{Binding, CacheSpec, CompileOptions, Counters, Executor, Graph, KvType, ReduceOp, RunArgs, UnaryOp, Weight};
use tensorlogic::tensor::quant::Q4_0;
use tensorlogic::tensor::{DType, HostTensor, Quant};

/// Runs the cases whose name holds `TL_CASE`, all without it.
fn assert_all_hold(arithmetic: Arithmetic, isa: Isa, threads: usize) {
    let options = CpuOptions {
        precise: arithmetic == Arithmetic::Precise,
        threads: Some(threads),
        isa: Some(isa),
        poison: true,
        ..CpuOptions::default()
    };
    let mut executor = CpuExecutor::new(options);
    let only = std::env::var("TL_CASE").unwrap_or_default();
    let cases: Vec<_> = cases(arithmetic).into_iter().filter(|case| case.name.contains(&only)).collect();
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

/// A position's logits have the same bits whether it is computed alone or in a run with up to seven others, past a window too.
#[test]
fn positions_have_the_same_bits_alone_and_in_a_run_of_several() {
    let sizes = Sizes { n_heads: 4, n_kv_heads: 2, head_dim: 32, n_layers: 1, ffn: 128, vocab: 32 };
    let ids: Vec<i32> = (0..70).map(|i| (i * 37 + i * i * 11) % 32).collect();
    for (dtype, kv_type) in [(DType::F32, KvType::F16), (DType::Quant(Quant(&Q4_0)), KvType::Q8_0)] {
        let llama = random_llama(&sizes, dtype, 5);
        let spec = CacheSpec { page: 32, ..llama.cache(40, 16, 3, kv_type) };
        for isa in Isa::available() {
            let mut executor = CpuExecutor::new(CpuOptions { threads: Some(2), isa: Some(isa), poison: true, ..CpuOptions::default() });
            let mut feed = |cuts: &mut dyn Iterator<Item = usize>| -> Vec<u32> {
                let cache = executor.new_cache(&spec).unwrap();
                let (mut position, mut bits) = (0, Vec::new());
                while position < ids.len() {
                    let n = cuts.next().unwrap().min(ids.len() - position);
                    let logits = run_logits(&mut executor, &llama, cache, &spec, position, &ids[position..position + n]);
                    bits.extend(logits.iter().map(|v| v.to_bits()));
                    position += n;
                }
                executor.free_cache(cache);
                bits
            };
            let (single, several) = (feed(&mut std::iter::repeat(1)), feed(&mut (2..=8).cycle()));
            let differs = (0..ids.len()).find(|p| single[p * 32..][..32] != several[p * 32..][..32]);
            assert_eq!(differs, None, "{dtype} with keys in {kv_type:?} on {}", isa.name());
        }
    }
}

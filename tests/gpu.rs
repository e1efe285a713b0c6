//! The GPU backend on the adapter at hand: every kernel against the definition, counters, faults.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::ops::ControlFlow;

use support::{Sizes, made_up};
use tensorlogic::doctor::{Arithmetic, cases, check};
use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel};
use tensorlogic::gpu::{GpuExecutor, GpuOptions};
use tensorlogic::graph::{Executor, Sampling};
use tensorlogic::model::StepPrograms;
use tensorlogic::tensor::quant::Q4_0;
use tensorlogic::tensor::{DType, Quant};
use tensorlogic::text::TokenId;

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

/// A model of TinyLlama's widths and vocabulary and two of its layers, a prompt of a whole chunk and some steps: what is on the device is the
/// weights, the cache and at most 128 MB more, however many layers there are.
#[test]
fn device_memory_is_weights_cache_and_little_more() {
    let sizes = Sizes { n_heads: 32, n_kv_heads: 4, head_dim: 64, n_layers: 2, ffn: 5632, vocab: 32_000 };
    let q4_0 = DType::Quant(Quant(&Q4_0));
    let file = made_up(&sizes, q4_0, |len, _| vec![0; q4_0.storage_bytes(len).unwrap()]);
    let weights: usize = file.tensors().tensors().iter().map(|t| t.len_bytes).sum();
    let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Noop, ..DeviceRequest::default() }).unwrap();
    let load = LoadRequest { window: Some(2048), ..LoadRequest::default() };
    let model = LoadedModel::from_file(file, &backend, &load).unwrap();
    let mut generator = model.generator(0).unwrap();
    let cache = 2 * 2 * sizes.n_layers * sizes.n_kv_heads * sizes.head_dim * generator.context().spec().slots;
    // The program of a whole chunk takes its buffers when it is compiled.
    generator.programs_mut().step(512, 0).unwrap();
    let go_on = |_| ControlFlow::Continue(());
    generator.generate(&[TokenId(1); 40], Sampling::default(), 8, |_| false, go_on, |_| ControlFlow::Continue(())).unwrap();
    let peak = generator.counters().peak_device_bytes as usize;
    println!("{peak} bytes, {weights} of weights, {cache} of the cache");
    assert!(peak > weights + cache && peak - weights - cache < 128_000_000, "{peak} bytes, {weights} of weights, {cache} of the cache");
}

//! The GPU backend on the adapter at hand: every kernel against the definition, counters, faults.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use support::{Llama, Sizes, all_logits, gpu_is_there, made_up, random_llama};
use tensorlogic::doctor::{Arithmetic, Noise, cases, check};
use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel};
use tensorlogic::gpu::{Faults, GpuExecutor, GpuOptions, KernelFault, Profile, Variant};
use tensorlogic::graph::{
    BinaryOp, Binding, CacheUse, CompileOptions, DeviceTensor, Executor, Graph, KvType, Literal, RunArgs, Sampling, Segment,
};
use tensorlogic::model::StepPrograms;
use tensorlogic::plan::Off;
use tensorlogic::tensor::quant::{Q4_0, formats};
use tensorlogic::tensor::{DType, HostTensor, Quant};
use tensorlogic::text::TokenId;

/// The executor of the adapter at hand, software adapters included; no result may depend on what a recycled buffer held. Without an adapter the
/// test is skipped, or fails under `TL_REQUIRE_GPU=1`.
fn executor(precise: bool) -> Option<GpuExecutor> {
    let options = GpuOptions { precise, poison: true, allow_software: true, ..GpuOptions::from_env() };
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
    let cache = 2 * 2 * sizes.n_layers * sizes.n_kv_heads * sizes.head_dim * generator.context().spec().n_positions();
    // The program of a whole chunk takes its buffers when it is compiled.
    generator.programs_mut().step(512, 0).unwrap();
    let go_on = |_| ControlFlow::Continue(());
    generator.generate(&[TokenId(1); 40], Sampling::default(), 8, |_| false, go_on, |_| ControlFlow::Continue(())).unwrap();
    let peak = generator.counters().peak_device_bytes as usize;
    println!("{peak} bytes, {weights} of weights, {cache} of the cache");
    assert!(peak > weights + cache && peak - weights - cache < 128_000_000, "{peak} bytes, {weights} of weights, {cache} of the cache");
}

/// The first row, from a run of so many, in which logits of runs of `n_rows` differ from those of runs of one row.
fn first_other_row(executor: &mut GpuExecutor, llama: &Llama, n_rows: usize) -> Option<usize> {
    let spec = llama.cache(64, 16, 4, KvType::F16);
    let ids: Vec<i32> = (0..8).map(|i| (i * i * 7 + i * 13 + 5) % 96).collect();
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    let alone = bits(all_logits(executor, llama, &spec, &ids, 1));
    let together = bits(all_logits(executor, llama, &spec, &ids, n_rows));
    let width = alone.len() / ids.len();
    alone.chunks(width).zip(together.chunks(width)).position(|(a, b)| a != b)
}

/// An executor of the adapter at hand under a profile, which decides the kernels of few rows; `None` without an adapter.
fn few_rows_executor(profile: Option<Profile>, no_subgroups: bool, kernels: Vec<KernelFault>) -> Option<GpuExecutor> {
    let from_env = GpuOptions::from_env();
    let no_subgroups = no_subgroups || from_env.no_subgroups;
    let faults = Faults { kernels, ..Faults::default() };
    gpu_is_there().then(|| GpuExecutor::new(&GpuOptions { allow_software: true, profile, no_subgroups, faults, ..from_env }).unwrap())
}

/// A model with a block of 512 columns, so that activations may be rounded, whose matrices are of one type.
fn wide_llama(dtype: DType) -> Llama {
    let sizes = Sizes { n_heads: 8, n_kv_heads: 2, head_dim: 64, n_layers: 1, ffn: 768, vocab: 96 };
    let mut noise = Noise::new(11);
    Llama::from_file(made_up(&sizes, dtype, |len, _| noise.weight_bytes(dtype, len)))
}

/// Projections with rotation and cache write, with a residual, with a gate, and without any: two to eight rows of one run have, bit for bit, what each
/// has alone, for every weight type.
#[test]
fn few_rows_of_a_run_have_the_bits_that_each_has_alone() {
    let Some(mut executor) = few_rows_executor(None, false, Vec::new()) else { return };
    let types = [DType::F32, DType::F16, DType::BF16].into_iter().chain(formats().map(|f| DType::Quant(Quant(f))));
    for dtype in types {
        let llama = wide_llama(dtype);
        for n_rows in 2..=8 {
            assert_eq!(first_other_row(&mut executor, &llama, n_rows), None, "{dtype}, {n_rows} rows a run");
        }
    }
}

/// The same with the kernels of devices: with subgroups and without. With f32 activations, as on Metal, it holds for plain floats alone: Mesa's compiler
/// takes the widening of a block apart in another way where two tokens share it.
#[test]
fn few_rows_have_the_same_bits_in_the_kernels_of_each_profile() {
    let blocks = [DType::F16, DType::Quant(Quant(&Q4_0)), DType::Quant(Quant::from_name("q4_k").unwrap())];
    for (profile, no_subgroups, types) in
        [(Profile::Dx12, false, blocks.as_slice()), (Profile::Dx12, true, &blocks), (Profile::Metal, false, &blocks[..1])]
    {
        let Some(mut executor) = few_rows_executor(Some(profile), no_subgroups, Vec::new()) else { return };
        for &dtype in types {
            let llama = wide_llama(dtype);
            for n_rows in [2, 3, 8] {
                assert_eq!(first_other_row(&mut executor, &llama, n_rows), None, "{profile:?}, {dtype}, {n_rows} rows a run");
            }
        }
    }
}

/// What would go unseen by a bound: another order of a sum, another rounding of activations.
#[test]
fn another_order_of_sums_in_kernels_of_few_rows_is_found() {
    let fault = |op, from, to| KernelFault { op, from, to };
    for (profile, what, faults) in [
        (
            Profile::Dx12,
            "groups in another order",
            vec![fault("matvec_rows_i8", "var group = lane;", "var group = (lane + LANES / 2u) % LANES;")],
        ),
        (Profile::Dx12, "activations rounded otherwise", vec![fault("quantize", "127.0 / most", "126.0 / most")]),
        (
            Profile::Metal,
            "a scale before the sum",
            vec![fault("matvec_rows", "lanes_sum(acc, local) * scales.xxyy", "lanes_sum(acc * scales.xxyy, local)")],
        ),
    ] {
        let Some(mut executor) = few_rows_executor(Some(profile), false, faults) else { return };
        let llama = wide_llama(if profile == Profile::Metal { DType::F16 } else { DType::Quant(Quant(&Q4_0)) });
        assert!(first_other_row(&mut executor, &llama, 4).is_some(), "{what}: not found");
    }
}

/// Runs that share a submit each have numbers of their own, are told apart when they are read, and take no later write of the host.
#[test]
fn runs_of_one_submit_are_as_runs_of_their_own() {
    let Some(mut executor) = executor(true) else { return };
    let mut graph = Graph::default();
    let x = graph.input([3], DType::F32);
    let factor = graph.literal_f32(0.0);
    let y = graph.binary(BinaryOp::Mul, x, factor).unwrap();
    let program = executor.compile(&graph, &[y], &CompileOptions { fuse: true, caches: Vec::new() }).unwrap();
    let args = |x: Binding, factor: f32| RunArgs { inputs: vec![x], literals: vec![Literal::F32(factor)], ..RunArgs::default() };
    let host = |values: [f32; 3]| HostTensor::f32([3], values.to_vec());
    let scaled = |factor: f32| host([1.0, 2.0, 3.0].map(|v| v * factor));

    let first = executor.upload(&host([1.0, 2.0, 3.0])).unwrap();
    let chain = |executor: &mut GpuExecutor, ahead: bool| -> Vec<DeviceTensor> {
        let mut made = vec![first.clone()];
        for factor in [2.0, 3.0, 5.0, 7.0] {
            let args = args(Binding::Device(made.last().unwrap().clone()), factor);
            let run = if ahead { executor.run_ahead(program, &args) } else { executor.run(program, &args) };
            made.push(run.unwrap().remove(0));
        }
        made
    };
    let submits = |executor: &GpuExecutor| executor.counters().submits;
    let before = submits(&executor);
    let apart = chain(&mut executor, false);
    let one_each = submits(&executor);
    let made = chain(&mut executor, true);
    assert_eq!((one_each - before, submits(&executor)), (4, one_each), "held until something is read");
    // The second has a reader in the same submit; the third is gone before it is submitted.
    let [_, second, third, fourth, last] = <[DeviceTensor; 5]>::try_from(made).unwrap();
    drop(third);
    for (tensor, factor) in [(&second, 2.0), (&last, 210.0), (&fourth, 30.0), (&apart[4], 210.0)] {
        assert_eq!(executor.read(tensor).unwrap(), scaled(factor));
    }
    assert_eq!(submits(&executor), one_each + 1);

    // What the host writes for a later run comes after those before it.
    let held = executor.run_ahead(program, &args(Binding::Host(Arc::new(host([1.0, 2.0, 3.0]))), 11.0)).unwrap().remove(0);
    let later = executor.run_ahead(program, &args(Binding::Host(Arc::new(host([4.0, 5.0, 6.0]))), 13.0)).unwrap().remove(0);
    assert_eq!(executor.read(&later).unwrap(), host([52.0, 65.0, 78.0]));
    assert_eq!(executor.read(&held).unwrap(), scaled(11.0));
}

/// An executor whose runs are recorded when they are repeated: under a profile a software adapter counts as a device. None where nothing is
/// recorded.
fn recording_executor(kernels: Off<Variant>) -> Option<GpuExecutor> {
    let from_env = GpuOptions::from_env();
    let profile = from_env.profile.or(Some(Profile::Dx12));
    let executor = gpu_is_there().then(|| GpuExecutor::new(&GpuOptions { allow_software: true, kernels, profile, ..from_env }).unwrap())?;
    if executor.gpu().facts().contains(&("repeated runs".to_owned(), "recorded".to_owned())) || kernels.has(Variant::SecondaryBuffers) {
        return Some(executor);
    }
    let required =
        std::env::var("TL_REQUIRE_GPU").is_ok() && executor.gpu().info.backend == wgpu::Backend::Vulkan && !executor.gpu().options.checks;
    assert!(!required, "nothing is recorded on {}", executor.describe());
    println!("skipped: nothing is recorded on {}", executor.describe());
    None
}

/// The dispatches of a repeated run, recorded once, give what they give encoded, in every bit: over more tokens than one part of attention
/// takes, where they are recorded anew; and once their cache is gone before the device was given them.
#[test]
fn recorded_runs_are_as_encoded_ones() {
    let sizes = Sizes { n_heads: 4, n_kv_heads: 2, head_dim: 32, n_layers: 1, ffn: 128, vocab: 96 };
    let llama = random_llama(&sizes, DType::Quant(Quant(&Q4_0)), 7);
    let spec = llama.cache(320, 1, 4, KvType::F16);
    let ids: Vec<i32> = (0..300).map(|i| (i * i * 7 + i * 13 + 5) % 96).collect();
    let Some(mut recording) = recording_executor(Off::NONE) else { return };
    let Some(mut encoding) = recording_executor(Off::of(&[Variant::SecondaryBuffers])) else { return };
    let encoded = all_logits(&mut encoding, &llama, &spec, &ids, 1);
    let recorded = all_logits(&mut recording, &llama, &spec, &ids, 1);
    assert_eq!(encoding.counters().command_buffers, 0);
    assert_eq!(recording.counters().command_buffers, 2, "one for each number of parts");
    let differs = |a: &[f32], b: &[f32]| a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!(differs(&encoded, &recorded), None, "of {}", encoded.len());

    let of_sixteen = llama.cache(320, 16, 4, KvType::F16);
    let together = [&mut encoding, &mut recording].map(|executor| all_logits(executor, &llama, &of_sixteen, &ids[..96], 16));
    assert_eq!(recording.counters().command_buffers, 3, "one for runs of sixteen rows");
    assert_eq!(differs(&together[0], &together[1]), None, "of {}", together[0].len());

    let step = llama.step(1, spec.n_positions());
    let program = recording.compile(&step.graph, &[step.logits], &CompileOptions { fuse: true, caches: vec![spec] }).unwrap();
    let cache = recording.new_cache(&spec).unwrap();
    let mut last = None;
    for (position, &id) in ids[..8].iter().enumerate() {
        let inputs = vec![Binding::Host(Arc::new(HostTensor::i32([1], vec![id])))];
        let args = RunArgs {
            inputs,
            segments: vec![Segment { caches: vec![CacheUse { cache, position }], n_tokens: 1, ..Segment::default() }],
            ..RunArgs::default()
        };
        last = recording.run_ahead(program, &args).unwrap().pop();
    }
    assert!(recording.counters().command_buffers > 3, "the cache's buffers are new");
    recording.free_cache(cache);
    let logits = recording.read(&last.unwrap()).unwrap();
    assert_eq!(logits.as_f32().unwrap(), &encoded[7 * 96..8 * 96]);
}

/// Recorded runs that share a submit, one command buffer executed twice among them, have numbers of their own and wait for one another.
#[test]
fn recorded_runs_of_one_submit_follow_one_another() {
    let Some(mut executor) = recording_executor(Off::NONE) else { return };
    let mut graph = Graph::default();
    let x = graph.input([3000], DType::F32);
    let factor = graph.literal_f32(0.0);
    // What is recorded are runs of one token.
    let token = graph.tokens_input(1);
    let zero = graph.cast(token, DType::F32).unwrap();
    let scaled = graph.binary(BinaryOp::Mul, x, factor).unwrap();
    let y = graph.binary(BinaryOp::Add, scaled, zero).unwrap();
    let program = executor.compile(&graph, &[y], &CompileOptions { fuse: true, caches: Vec::new() }).unwrap();
    let host = |factor: f32| HostTensor::f32([3000], (0..3000).map(|i| factor * (i % 17) as f32).collect::<Vec<_>>());
    let first = executor.upload(&host(1.0)).unwrap();
    let token = executor.upload(&HostTensor::i32([1], vec![0])).unwrap();
    let submits = executor.counters().submits;
    for round in 0..5 {
        let mut last = first.clone();
        let mut product = 1.0;
        for factor in [2.0, 3.0, 0.5, 5.0, 2.0, 0.25, 7.0, 3.0] {
            let (inputs, literals) = (vec![Binding::Device(last), Binding::Device(token.clone())], vec![Literal::F32(factor)]);
            let args = RunArgs { inputs, literals, segments: vec![Segment { n_tokens: 1, ..Segment::default() }] };
            // What a run reads is free once it is encoded: two buffers take turns, and runs with the same two are repeated in one submit.
            last = executor.run_ahead(program, &args).unwrap().remove(0);
            product *= factor;
        }
        assert_eq!(executor.read(&last).unwrap(), host(product), "round {round}");
    }
    assert_eq!(executor.counters().submits, submits + 5);
    let recorded = executor.counters().command_buffers;
    assert!((2..=8).contains(&recorded), "{recorded} command buffers for 40 runs");
}

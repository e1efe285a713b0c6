//! A weight format added to the tables that the engine's own are in: every kernel that takes weights, and a whole model, compute with it.

use tensorlogic::cpu::{CpuExecutor, CpuOptions};
use tensorlogic::doctor::{self, Arithmetic};
use tensorlogic::format::{GgufWriter, ModelFile};
use tensorlogic::gpu::{WeightFormat, add_weight_format};
use tensorlogic::graph::Executor;
use tensorlogic::tensor::quant::{Quant, add_format};
use tensorlogic::tensor::{DType, HostTensor};

use crate::exact::{Exact, check};
use crate::scratch::Scratch;
use crate::support::programs::Mode;
use crate::support::{fixture, gpu_is_there, open_gpu};
use crate::z6_0;

const TOKENS: [i32; 20] = [1, 270, 14, 301, 77, 5, 263, 290, 290, 291, 30, 18, 299, 264, 7, 100, 211, 280, 9, 266];

#[test]
fn a_format_of_three_files_serves_every_kernel_and_a_model() {
    let scratch = Scratch::new("made-up-format");
    let path = scratch.path("z6_0.gguf");
    write(&path);
    let refusal = ModelFile::open(&path, false).map(|_| ()).unwrap_err().to_string();
    assert!(refusal.contains("element type 200 (unknown), which is not supported"), "{refusal}");

    add_format(&z6_0::FORMAT).unwrap();
    add_weight_format("z6_0", &z6_0::LAYOUT, z6_0::FRAGMENT).unwrap();
    assert_eq!(add_format(&z6_0::FORMAT), Err("z6_0"), "a name is taken once");
    let taken = add_weight_format("q4_0", &z6_0::LAYOUT, z6_0::FRAGMENT).unwrap_err();
    assert!(taken.contains("a layout of `q4_0` already"), "{taken}");

    for arithmetic in [Arithmetic::Precise, Arithmetic::Fast] {
        let precise = arithmetic == Arithmetic::Precise;
        let mut executors: Vec<Box<dyn Executor>> = vec![Box::new(CpuExecutor::new(CpuOptions { precise, ..CpuOptions::default() }))];
        if gpu_is_there() {
            executors.push(Box::new(open_gpu(precise)));
        }
        let cases: Vec<_> = doctor::cases(arithmetic).into_iter().filter(|case| case.name.contains(" z6_0")).collect();
        assert_eq!(cases.len(), 20, "an embedding, fifteen shapes of a linear, and four of experts");
        for executor in &mut executors {
            for case in &cases {
                let outcome = doctor::check(case, &mut **executor);
                assert!(outcome.passed(), "{}: {outcome:?}", executor.describe());
            }
        }
    }

    let file = ModelFile::open(&path, false).unwrap();
    assert_eq!(file.tensors().get("token_embd.weight").unwrap().dtype.to_string(), "z6_0");
    let exact = Exact::of(&file, false).logits(&TOKENS);
    check(&Mode::all(), &path, &TOKENS, &exact, 6e-2);
}

/// A fragment without a function that `quant/common` calls, without the name by which kernels are given its buffer, or with it elsewhere.
#[test]
fn a_fragment_that_breaks_the_contract_of_kernels_is_refused_by_name() {
    let refused = |from: &str, to: &str| {
        let WeightFormat { quants, quant_words, scale_bits, repack, .. } = z6_0::LAYOUT;
        let layout = WeightFormat { fragments: &["quant/common", "quant/z6_1"], quants, quant_words, scale_bits, repack };
        let fragment = z6_0::FRAGMENT.replace(from, to).leak();
        add_weight_format("z6_1", Box::leak(Box::new(layout)), fragment).unwrap_err()
    };
    let absent = refused("fn block_scales(", "fn scales_of(");
    assert!(absent.contains("kernel embedding + prelude/words + quant/common + quant/z6_1 defines no function `block_scales`"), "{absent}");
    assert!(absent.contains("which `quant/common` expects"), "{absent}");
    let renamed = refused("quants", "packed");
    assert_eq!(renamed, "the fragment of `z6_1` is refused: it declares no buffer `quants` at binding 3");
    let moved = refused("@binding(4)", "@binding(7)");
    assert_eq!(moved, "the fragment of `z6_1` is refused: it declares no buffer `scales` at binding 4");
}

/// tiny-f32 with its matrices of whole blocks in the made-up format.
fn write(path: &std::path::Path) {
    let tiny = ModelFile::open(&fixture("tiny-f32.gguf"), false).unwrap();
    let mut out = GgufWriter::new();
    for (key, value) in tiny.metadata().iter() {
        out.set(key, value.clone());
    }
    let z6_0 = Quant(&z6_0::FORMAT);
    for tensor in tiny.tensors().tensors() {
        let data = tiny.data(&tensor.name).unwrap();
        if tensor.shape.rank() == 2 && tensor.shape.last_dim().is_multiple_of(32) {
            let values = data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            let values = HostTensor::f32(tensor.shape.clone(), values);
            out.tensor(&tensor.name, tensor.shape.clone(), DType::Quant(z6_0), z6_0.quantize_rows(values.as_f32().unwrap()).unwrap());
        } else {
            out.tensor(&tensor.name, tensor.shape.clone(), tensor.dtype, data);
        }
    }
    out.save(path).unwrap();
}

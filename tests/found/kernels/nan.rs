//! NaN goes through every function, sorts last, and is never drawn from.

use std::ops::ControlFlow;
use std::sync::Arc;

use tensorlogic::doctor::{Bound, Case, Noise, Run};
use tensorlogic::engine::{Backend, LoadRequest, LoadedModel};
use tensorlogic::format::{GgufWriter, ModelFile};
use tensorlogic::graph::{BinaryOp, CacheIdx, CacheSpec, Graph, KvType, NoChoice, Op, PAGE, ReduceOp, Sampling, UnaryOp, Weight};
use tensorlogic::tensor::quant::Q4_0;
use tensorlogic::tensor::{DType, HostTensor, Quant};
use tensorlogic::text::TokenId;

use super::assert_hold;
use crate::support::{backends, device_requests, fixture};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

/// NaN of either sign among numbers.
fn with_nans() -> HostTensor {
    HostTensor::f32([3, 4], vec![NAN, 1.0, -2.0, 0.0, 3.0, -NAN, 5.0, -0.0, 0.5, 0.25, -0.25, 4.0])
}

#[test]
fn nan_goes_through_elementwise_functions() {
    use UnaryOp::*;
    let functions = [Neg, Abs, Sign, Exp, Sqrt, Sin, Tanh, Sigmoid, Silu, Gelu, Erf, Relu, Softplus, Floor, Ceil, Round];
    let other = HostTensor::f32([3, 4], vec![1.0, NAN, -3.0, 0.0, NAN, NAN, 6.0, 1.0, 2.0, -1.0, 0.0, NAN]);
    assert_hold(&[Case::of("a NaN", Bound::Relative(2e-5), vec![with_nans(), other], |g, i| {
        let positive = g.unary(Abs, i[0]).unwrap();
        let mut outputs: Vec<_> = functions.iter().map(|&op| g.unary(op, if op == Sqrt { positive } else { i[0] }).unwrap()).collect();
        use BinaryOp::*;
        outputs.extend([Add, Mul, Min, Max, Pow, Eq, Ne, Lt, Ge].map(|op| g.binary(op, i[0], i[1]).unwrap()));
        // As `clamp` has it.
        let (low, high) = (g.literal_f32(-1.0), g.literal_f32(1.0));
        let above = g.binary(Max, i[0], low).unwrap();
        outputs.push(g.binary(Min, above, high).unwrap());
        let is_nan = g.binary(Ne, i[0], i[0]).unwrap();
        outputs.push(g.select(is_nan, i[1], i[0]).unwrap());
        outputs.extend([DType::I32, DType::F16, DType::BF16, DType::Bool].map(|to| g.cast(i[0], to).unwrap()));
        outputs
    })]);
}

#[test]
fn nan_goes_through_reductions_and_sorts_last() {
    let lines = HostTensor::f32([2, 2, 3], vec![-INF, -INF, 1.0, NAN, -INF, NAN, 2.0, -NAN, 7.0, 0.0, -0.0, INF]);
    assert_hold(&[Case::of("a NaN", Bound::Relative(1e-5), vec![with_nans(), lines], |g, i| {
        let mut outputs = Vec::new();
        for (x, axes) in [(i[0], 2), (i[1], 3)] {
            for axis in 0..axes {
                for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max, ReduceOp::Min, ReduceOp::Prod] {
                    outputs.push(g.reduce(op, x, axis, false).unwrap());
                }
                outputs.push(g.add(Op::ArgMax { axis, keep: false }, &[x]).unwrap());
                outputs.push(g.add(Op::ArgMin { axis, keep: false }, &[x]).unwrap());
                outputs.push(g.softmax(x, axis).unwrap());
                outputs.push(g.add(Op::CumSum { axis }, &[x]).unwrap());
            }
            outputs.extend([true, false].map(|descending| g.add(Op::ArgSort { descending }, &[x]).unwrap()));
        }
        outputs
    })]);
}

/// A program that draws from logits, with every path of the sampler: greedy, few candidates, many, after a penalty.
fn draw(logits: &HostTensor, sampling: Sampling) -> Case {
    let mut g = Graph::new();
    let x = g.input(logits.shape.clone(), DType::F32);
    let settings = g.run_sampling();
    let at = g.literal_i32(3);
    let id = g.sample(x, settings, at, Some(CacheIdx(0))).unwrap();
    let spec = CacheSpec {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim: 32,
        window: 64,
        chunk: 32,
        sinks: 4,
        page: 32,
        sequences: 1,
        places: 0,
        kv_type: KvType::F32,
    };
    let run = Run { sampling, ..Run::new(g, vec![id], vec![logits.clone()]) };
    Case { name: format!("a draw with {sampling:?}"), runs: vec![run], cache: Some(spec), history: vec![1, 2, 3], bound: Bound::Exact }
}

#[test]
fn a_draw_from_logits_without_a_choice_is_told() {
    let mut noise = Noise::new(1);
    let plain = Sampling { temperature: 1.0, seed: 4, ..Sampling::default() };
    let settings = [
        Sampling::default(),
        Sampling { repeat_penalty: 1.5, repeat_last_n: 3, ..Sampling::default() },
        plain,
        Sampling { top_k: 5, top_p: 0.9, min_p: 0.05, ..plain },
        Sampling { top_p: 0.9, ..plain },
    ];
    let numbers: Vec<f32> = noise.f32([5000]).as_f32().unwrap().to_vec();
    let with = |at: usize, value: f32| {
        let mut values = numbers.clone();
        values[at] = value;
        HostTensor::f32([5000], values)
    };
    let refused = [
        (with(0, NAN), NoChoice::Nan),
        (with(4999, -NAN), NoChoice::Nan),
        (with(2, NAN), NoChoice::Nan),
        (with(2600, INF), NoChoice::Infinite),
        (HostTensor::f32([5000], vec![-INF; 5000]), NoChoice::Infinite),
    ];
    for (logits, reason) in &refused {
        let cases: Vec<Case> = settings.iter().map(|&sampling| draw(logits, sampling)).collect();
        assert_hold(&cases);
        let mut reference = tensorlogic::reference::choose(
            &(0..5000).map(|i| logits.value(i)).collect::<Vec<_>>(),
            &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 3.0],
            &[],
        );
        assert_eq!(reference.as_mut().unwrap_err(), reason);
    }
    // What is masked is no fault.
    assert_hold(&[draw(&with(17, -INF), Sampling::default())]);
}

/// A key past f16 makes its score infinite: the outputs of those that see it are NaN, of a few tokens and of many.
#[test]
fn a_key_that_the_cache_cannot_hold_shows() {
    for (kv_type, value) in [(KvType::F16, 70_000.0), (KvType::F16, NAN), (KvType::Q8_0, NAN), (KvType::Q8_0, INF), (KvType::F32, NAN)] {
        let spec = CacheSpec {
            n_layers: 1,
            n_kv_heads: 1,
            head_dim: 32,
            window: 1024,
            chunk: 1024,
            sinks: 4,
            page: PAGE,
            sequences: 1,
            places: 0,
            kv_type,
        };
        let mut noise = Noise::new(2);
        let mut position = 0;
        let mut runs = Vec::new();
        for n in [3, 40, 1, 600, 1] {
            let mut g = Graph::new();
            g.tokens_input(n);
            g.take_tokens_as_exact();
            let [q, k, v] = [4, 1, 1].map(|heads| g.input([n, heads, 32], DType::F32));
            let appended = g.cache_append(CacheIdx(0), 0, spec.n_positions(), k, v).unwrap();
            let (scale, window) = (g.literal_f32(0.2), g.literal_i32(0));
            let out = g.attention(q, appended, scale, window).unwrap();
            let mut keys: Vec<f32> = noise.f32([n, 1, 32]).as_f32().unwrap().to_vec();
            if n == 40 {
                keys[33 * 32 + 5] = value;
            }
            let inputs = vec![noise.i32([n], 9), noise.f32([n, 4, 32]), HostTensor::f32([n, 1, 32], keys), noise.f32([n, 1, 32])];
            runs.push(Run { position, n_tokens: n, ..Run::new(g, vec![out], inputs) });
            position += n;
        }
        let bound = Bound::Relative(if kv_type == KvType::Q8_0 { 1e-2 } else { 2e-3 });
        assert_hold(&[Case {
            name: format!("attention, a key of {value} in {kv_type:?}"),
            runs,
            cache: Some(spec),
            history: vec![],
            bound,
        }]);
    }
}

/// Eight bits hold no NaN: the scale of its group does.
#[test]
fn activations_in_eight_bits_keep_nan() {
    let mut noise = Noise::new(3);
    let q4_0 = DType::Quant(Quant(&Q4_0));
    let weight = Arc::new(Weight::new("w", [40, 64], q4_0, Arc::new(noise.weight_bytes(q4_0, 40 * 64))));
    let mut x = noise.f32([1, 64]).as_f32().unwrap().to_vec();
    x[40] = NAN;
    let case = Case::of("linear of a NaN", Bound::Relative(1e-2), vec![HostTensor::f32([1, 64], x)], |g, i| {
        let w = g.weight(weight.clone());
        vec![g.linear(i[0], w).unwrap()]
    });
    for backend in backends() {
        let outcome = tensorlogic::doctor::check(&case, &mut *(backend.open)(false));
        assert!(outcome.passed(), "{}: {outcome:?}", backend.name);
    }
}

/// A model whose keys pass f16: norms in front of attention are a million times too large.
fn overflowing() -> ModelFile {
    let file = ModelFile::open(&fixture("tiny-q4_0.gguf"), false).unwrap();
    let mut writer = GgufWriter::new();
    for (key, value) in file.metadata().iter() {
        writer.set(key, value.clone());
    }
    let mut all: Vec<Vec<u8>> = file.tensors().tensors().iter().map(|t| file.data(&t.name).unwrap().to_vec()).collect();
    for (t, bytes) in file.tensors().tensors().iter().zip(&mut all) {
        if t.name.ends_with("attn_norm.weight") {
            for value in bytes.chunks_exact_mut(4) {
                let scaled = f32::from_le_bytes(value.try_into().unwrap()) * 1e6;
                value.copy_from_slice(&scaled.to_le_bytes());
            }
        }
        writer.tensor(&t.name, t.shape.clone(), t.dtype, &bytes[..]);
    }
    ModelFile::from_bytes("overflowing.gguf", writer.to_bytes()).unwrap()
}

#[test]
fn generate_says_where_logits_are_no_numbers() {
    for request in device_requests(false) {
        let backend = Backend::open(&request).unwrap();
        for temperature in [0.0, 0.8] {
            for (kv_type, refused) in [(KvType::F16, true), (KvType::F32, false)] {
                let load = LoadRequest { kv_type, ..LoadRequest::default() };
                let model = LoadedModel::from_file(overflowing(), &backend, &load).unwrap();
                let mut generator = model.generator(0).unwrap();
                let sampling = Sampling { temperature, ..Sampling::default() };
                let ids = [1, 267, 5].map(TokenId);
                let mut given = 0;
                let go_on = |_| ControlFlow::Continue(());
                let result = generator.generate(
                    &ids,
                    sampling,
                    4,
                    |_| false,
                    go_on,
                    |_| {
                        given += 1;
                        ControlFlow::Continue(())
                    },
                );
                match result {
                    Ok(_) => assert!(!refused && given == 4, "{given} tokens with {kv_type:?}"),
                    Err(error) => {
                        let text = error.to_string();
                        let words = ["the logits hold NaN behind the token at position 2", "--kv f32", "tl trace MODEL"];
                        assert!(refused && given == 0 && words.iter().all(|w| text.contains(w)), "{kv_type:?}: {text}");
                    }
                }
            }
        }
    }
}

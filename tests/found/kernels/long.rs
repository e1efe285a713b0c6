//! Lines longer than the loops of software adapters, which end after 65,535 rounds of a whole shader and go on with what they have.

use std::sync::Arc;

use tensorlogic::doctor::{Bound, Case, Noise, Run, check};
use tensorlogic::graph::{
    Binding, CacheIdx, CacheSpec, CacheUse, CompileOptions, Graph, KvType, Op, PAGE, ReduceOp, RunArgs, Sampling, Segment, Weight,
};
use tensorlogic::reference::choose;
use tensorlogic::tensor::quant::{Q4_0, Q8_0};
use tensorlogic::tensor::{DType, HostTensor, Quant};

use super::assert_hold;
use crate::support::backends;

/// Values that no order of sums cancels, made faster than noise.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| 0.1 + (i.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f32 * 1e-6).collect()
}

#[test]
fn running_sums_are_right_to_their_end() {
    let tenths = HostTensor::f32([65_535], vec![0.1; 65_535]);
    let long = HostTensor::f32([2, 70_001], values(140_002));
    let columns = HostTensor::f32([66_000, 2], values(132_000));
    let ints = HostTensor::i32([70_000], (0..70_000).map(|i| i % 7 - 3).collect());
    let cumsum = |g: &mut Graph, x, axis| g.add(Op::CumSum { axis }, &[x]).unwrap();
    // Sums of at most 32 values, of sums, of sums: each adds half a unit in the last place a value at most.
    assert_hold(&[Case::of("cumsum", Bound::Relative(4.0 * 32.0 * 6e-8), vec![tenths, long, columns], |g, i| {
        vec![cumsum(g, i[0], 0), cumsum(g, i[1], 1), cumsum(g, i[2], 0)]
    })]);
    assert_hold(&[Case::of("cumsum", Bound::Exact, vec![ints], |g, i| vec![cumsum(g, i[0], 0)])]);
}

#[test]
fn long_rows_are_sorted() {
    let mut noise = Noise::new(11);
    let few = noise.i32([100_000], 1000);
    let mut floats: Vec<f32> = few.as_i32().unwrap().iter().map(|&v| v as f32 - 500.0).collect();
    for (at, value) in [(7, f32::NAN), (99_999, f32::INFINITY), (50_000, -0.0), (70_000, f32::NEG_INFINITY)] {
        floats[at] = value;
    }
    let rows = noise.i32([3, 1500], 40);
    let inputs = vec![few, HostTensor::f32([100_000], floats), rows];
    assert_hold(&[Case::of("argsort", Bound::Exact, inputs, |g, i| {
        let sort = |g: &mut Graph, x, descending| g.add(Op::ArgSort { descending }, &[x]).unwrap();
        i.iter().flat_map(|&x| [sort(g, x, false), sort(g, x, true)]).collect()
    })]);
}

#[test]
fn many_updates_are_scattered() {
    let mut noise = Noise::new(12);
    // Most rows of one target get some, and one row of the other gets nearly all.
    let spread = noise.i32([100_000], 70_000);
    let mut crowded = noise.i32([100_000], 9).as_i32().unwrap().to_vec();
    crowded.iter_mut().enumerate().filter(|(i, _)| i % 10 > 0).for_each(|(_, v)| *v = 4);
    crowded[70_000] = 99;
    crowded[70_001] = -1;
    let crowded = HostTensor::i32([100_000], crowded);
    let updates = HostTensor::f32([100_000], values(100_000));
    let inputs = vec![HostTensor::f32([70_000], values(70_000)), HostTensor::f32([9], values(9)), spread, crowded, updates];
    assert_hold(&[Case::of("scatter", Bound::Relative(1e-4), inputs, |g, i| {
        [(0, 2), (1, 3)].map(|(x, indices)| g.add(Op::ScatterAdd { axis: 0 }, &[i[x], i[indices], i[4]]).unwrap()).to_vec()
    })]);
    let ints = HostTensor::i32([100_000], (0..100_000).map(|i| i % 11).collect());
    let inputs = vec![
        noise.i32([2, 30], 5),
        noise.i32([1000], 31),
        noise.i32([2, 1000], 9),
        noise.i32([70_000], 9),
        ints,
        noise.i32([100_000], 70_000),
    ];
    assert_hold(&[Case::of("scatter", Bound::Exact, inputs, |g, i| {
        let first = g.add(Op::ScatterAdd { axis: 1 }, &[i[0], i[1], i[2]]).unwrap();
        vec![first, g.add(Op::ScatterAdd { axis: 0 }, &[i[3], i[5], i[4]]).unwrap()]
    })]);
}

#[test]
fn long_lines_are_reduced() {
    const LEN: usize = 4_300_000;
    let mut line = values(LEN);
    (line[LEN - 3], line[LEN - 2]) = (7.0, -7.0);
    assert_hold(&[Case::of("reduce", Bound::Relative(1e-5), vec![HostTensor::f32([LEN], line)], |g, i| {
        let mut outputs: Vec<_> =
            [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max, ReduceOp::Min].map(|op| g.reduce(op, i[0], 0, false).unwrap()).to_vec();
        outputs.push(g.add(Op::ArgMax { axis: 0, keep: false }, &[i[0]]).unwrap());
        outputs.push(g.add(Op::ArgMin { axis: 0, keep: false }, &[i[0]]).unwrap());
        outputs
    })]);
    let columns = HostTensor::i32([2, 9000, 3], (0..54_000).map(|i| i * 7919 % 1013).collect());
    assert_hold(&[Case::of("reduce", Bound::Exact, vec![columns], |g, i| {
        let mut outputs: Vec<_> = [ReduceOp::Sum, ReduceOp::Max].map(|op| g.reduce(op, i[0], 1, false).unwrap()).to_vec();
        outputs.push(g.add(Op::ArgMax { axis: 1, keep: true }, &[i[0]]).unwrap());
        outputs
    })]);
}

#[test]
fn softmax_and_norm_of_long_lines() {
    const LEN: usize = 1_500_000;
    let line = HostTensor::f32([1, LEN], values(LEN));
    let weight = HostTensor::f32([LEN], vec![1.0; LEN]);
    assert_hold(&[Case::of("softmax", Bound::Relative(1e-5), vec![line, weight], |g, i| {
        let eps = g.literal_f32(1e-5);
        vec![g.softmax(i[0], 1).unwrap(), g.rms_norm(i[0], i[1], eps).unwrap()]
    })]);
}

#[test]
fn long_contractions_are_cut() {
    let a = HostTensor::f32([2, 70_001], values(140_002));
    let b = HostTensor::f32([70_001, 3], values(210_003));
    let cube = HostTensor::f32([300, 2, 300], values(180_000));
    assert_hold(&[Case::of("einsum", Bound::Relative(1e-5), vec![a, b, cube], |g, i| {
        let operands = [("ij,jk->ik", vec![i[0], i[1]]), ("ij,ij->", vec![i[0], i[0]]), ("ij->i", vec![i[0]]), ("ijk->j", vec![i[2]])];
        operands.map(|(text, operands)| g.einsum(text, &operands).unwrap()).to_vec()
    })]);
}

/// As wide as the lowering lets a linear layer be on software adapters.
#[test]
fn wide_linear_layers_are_whole() {
    const K: usize = 119_808;
    let mut noise = Noise::new(13);
    for dtype in [DType::F32, DType::F16, DType::Quant(Quant(&Q4_0)), DType::Quant(Quant(&Q8_0))] {
        let weight = Arc::new(Weight::new("w", [5, K], dtype, Arc::new(noise.weight_bytes(dtype, 5 * K))));
        let cases: Vec<Case> = [1, 2, 12]
            .map(|rows| {
                let x = HostTensor::f32([rows, K], values(rows * K));
                Case::of(format!("linear {dtype}, {rows} rows"), Bound::Relative(1e-3), vec![x], |g, i| {
                    let w = g.weight(weight.clone());
                    vec![g.linear(i[0], w).unwrap()]
                })
            })
            .into();
        assert_hold(&cases);
        let bound = Bound::Relative(1e-2);
        let fast = Case { bound, ..cases.into_iter().next().unwrap() };
        for backend in backends() {
            let outcome = check(&fast, &mut *(backend.open)(false));
            assert!(outcome.passed(), "{} on {}: {outcome:?}", fast.name, backend.name);
        }
    }
}

/// Keys of zeros weigh alike, so that the output is a mean. Slots that were not written hold zeros, as memory does that is new.
#[test]
fn attention_sees_a_long_cache() {
    const FIRST: usize = 70_000;
    let (heads, d) = (8, 128);
    let slots = FIRST + 100;
    let spec = CacheSpec {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim: d,
        window: slots - 64,
        chunk: slots,
        sinks: 4,
        page: PAGE,
        sequences: 1,
        places: 0,
        kv_type: KvType::F32,
    };
    for backend in backends() {
        let mut executor = (backend.open)(true);
        for n in [1, 12] {
            let cache = executor.new_cache(&spec).unwrap();
            let mut g = Graph::new();
            g.tokens_input(n);
            g.take_tokens_as_exact();
            let q = g.input([n, heads, d], DType::F32);
            let [k, v] = [0, 1].map(|_| g.input([n, 1, d], DType::F32));
            let appended = g.cache_append(CacheIdx(0), 0, spec.n_positions(), k, v).unwrap();
            let (scale, window) = (g.literal_f32(0.1), g.literal_i32(0));
            let out = g.attention(q, appended, scale, window).unwrap();
            let program = executor.compile(&g, &[out], &CompileOptions { fuse: true, caches: vec![spec] }).unwrap();
            let inputs = [
                HostTensor::i32([n], vec![1; n]),
                HostTensor::f32([n, heads, d], values(n * heads * d)),
                HostTensor::f32([n, 1, d], vec![0.0; n * d]),
                HostTensor::f32([n, 1, d], vec![1000.0; n * d]),
            ];
            let args = RunArgs {
                inputs: inputs.into_iter().map(|t| Binding::Host(Arc::new(t))).collect(),
                segments: vec![Segment { caches: vec![CacheUse { cache, position: FIRST }], n_tokens: n, ..Segment::default() }],
                ..RunArgs::default()
            };
            let outputs = executor.run(program, &args).unwrap();
            let got = executor.read(&outputs[0]).unwrap();
            for (i, &value) in got.as_f32().unwrap().iter().enumerate() {
                let own = i / (heads * d) + 1;
                let mean = 1000.0 * own as f32 / (FIRST + own) as f32;
                assert!((value - mean).abs() < 1e-4 * mean, "{value} instead of {mean}: {n} tokens on {}", backend.name);
            }
            executor.free_cache(cache);
        }
    }
}

#[test]
fn large_vocabularies_are_drawn_from() {
    const V: usize = 200_000;
    // Twenty likely ids, far apart, among many unlikely ones.
    let logits: Vec<f32> =
        (0..V).map(|i| if i % 10_000 == 77 { 10.0 + (i / 10_000) as f32 * 0.05 } else { -5.0 + (i % 97) as f32 * 0.01 }).collect();
    let exact: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
    let plain = Sampling { temperature: 1.0, ..Sampling::default() };
    let cases: Vec<Case> =
        [plain, Sampling { top_p: 0.5, ..plain }, Sampling { top_k: 1000, top_p: 0.9, ..plain }, Sampling { top_k: 40, ..plain }]
            .map(|sampling| {
                // A draw that is clear of its neighbours: a device sums in f32.
                let margin = |seed: u32| {
                    let settings = [sampling.temperature, sampling.top_k as f32, sampling.top_p, 0.0, 1.0, 0.0, seed as f32, 3.0];
                    choose(&exact, &settings.map(f64::from), &[]).unwrap().margin
                };
                let seed = (1..50).find(|&seed| margin(seed) > 1e-3).unwrap();
                let mut g = Graph::new();
                let x = g.input([V], DType::F32);
                let settings = g.run_sampling();
                let at = g.literal_i32(3);
                let id = g.sample(x, settings, at, None).unwrap();
                let run =
                    Run { sampling: Sampling { seed, ..sampling }, ..Run::new(g, vec![id], vec![HostTensor::f32([V], logits.clone())]) };
                Case { name: format!("a draw with {sampling:?}"), runs: vec![run], cache: None, history: vec![], bound: Bound::Exact }
            })
            .into();
    assert_hold(&cases);
}

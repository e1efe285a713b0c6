//! Every weight type, level and epilogue of `linear` on odd shapes, against f64 sums.

use crate::cpu::Isa;
use crate::cpu::testing::{Lcg, OneStep, executor, random_weight};
use crate::graph::{InputId, Literal, UnaryOp};
use crate::plan::{Buf, Epilogue, Kernel, Linear, PlacedId, Placement, Rows, ScalarRef, Storage};
use crate::tensor::{DType, HostTensor, Quant, quant};

const OUT: Buf = Buf::Output(0);

fn input(i: u32) -> Buf {
    Buf::Input(InputId(i))
}

/// A linear of one weight of `n` rows, with its exact sums and what eight-bit activations may add to the error of each.
struct Product {
    step: OneStep,
    exact: Vec<f64>,
    slack: Vec<f64>,
}

fn product(dtype: DType, n: usize, k: usize, t: usize) -> Product {
    let mut random = Lcg((n * 31 + k * 7 + t) as u64);
    let (weight, w) = random_weight(dtype, n, k, &mut random);
    let x = random.values(t * k);
    let (mut exact, mut slack) = (Vec::new(), Vec::new());
    for x in x.chunks(k) {
        let scales: Vec<f64> = x.chunks(32).map(|b| f64::from(b.iter().fold(0.0f32, |m, v| m.max(v.abs()))) / 127.0).collect();
        for w in w.chunks(k) {
            exact.push(w.iter().zip(x).map(|(w, &x)| w * f64::from(x)).sum());
            slack.push(w.iter().enumerate().map(|(i, w)| w.abs() * scales[i / 32] * 0.501).sum());
        }
    }
    let kernel = Kernel::Linear(Linear {
        x: input(0),
        norm: None,
        weight: PlacedId(0),
        first_row: 0,
        n,
        k,
        rows: Rows { count: t, dynamic: false },
        epilogue: Epilogue::Store { bias: None, residual: None, out: OUT },
    });
    let mut step = OneStep::new(kernel, vec![HostTensor::f32([t, k], x)], [t, n]);
    step.placements = vec![Placement { parts: vec![weight], storage: Storage::Native }];
    Product { step, exact, slack }
}

/// The f32 part of the bound: rounding of K products and their sums.
fn rounding(p: &Product, k: usize) -> f64 {
    1e-6 * (k as f64).sqrt() * p.slack.iter().fold(0.0, |m: f64, s| m.max(s * 254.0 / k as f64 + s))
}

fn assert_close(p: &Product, k: usize, got: &HostTensor, int8: bool, what: &str) {
    let rounding = rounding(p, k) + 1e-9;
    for (i, (&got, &exact)) in got.as_f32().unwrap().iter().zip(&p.exact).enumerate() {
        let bound = rounding + if int8 { p.slack[i] } else { 0.0 };
        let error = (f64::from(got) - exact).abs();
        assert!(error <= bound, "{what}: element {i} is {got}, exactly {exact}, off by {error:e}, bound {bound:e}");
    }
}

fn dtypes() -> Vec<DType> {
    let mut dtypes = vec![DType::F32, DType::F16, DType::BF16];
    dtypes.extend(quant::FORMATS.iter().map(|f| DType::Quant(Quant(f))));
    dtypes
}

#[test]
fn every_weight_type_level_and_odd_shape_is_within_its_bound() {
    for dtype in dtypes() {
        for isa in Isa::available() {
            let (mut fast, mut precise) = (executor(isa, 2, false), executor(isa, 2, true));
            for (n, blocks, t) in
                [(1, 1, 1), (2, 2, 2), (3, 3, 1), (31, 11, 1), (33, 3, 3), (127, 2, 5), (257, 1, 1), (33, 11, 9), (31, 1, 6)]
            {
                let k = if dtype.block_len() == 256 { blocks * 256 } else { blocks * 32 };
                let p = product(dtype, n, k, t);
                let what = format!("{dtype} {n}x{k}, {t} rows, {}", isa.name());
                assert_close(&p, k, &p.step.run(&mut fast), matches!(dtype, DType::Quant(_)), &what);
                assert_close(&p, k, &p.step.run(&mut precise), false, &format!("{what}, precise"));
            }
        }
    }
}

/// A wide row crosses the pieces of a panel and their tails.
#[test]
fn rows_longer_than_a_panel() {
    for dtype in [DType::Quant(Quant(&quant::Q4_0)), DType::Quant(Quant(&quant::Q6_K)), DType::Quant(Quant(&quant::Q8_0))] {
        for isa in Isa::available() {
            let k = if dtype.block_len() == 256 { 1280 } else { 1120 };
            let p = product(dtype, 35, k, 7);
            assert_close(&p, k, &p.step.run(&mut executor(isa, 2, false)), true, &format!("{dtype} on {}", isa.name()));
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for dtype in dtypes() {
        for t in [1, 9] {
            let p = product(dtype, 257, 512, t);
            let one = p.step.run(&mut executor(Isa::detect(), 1, false));
            for threads in [2, 3, 5] {
                let many = p.step.run(&mut executor(Isa::detect(), threads, false));
                let differs = (0..one.len()).find(|&i| one.value(i).to_bits() != many.value(i).to_bits());
                assert_eq!(differs, None, "{dtype}, {t} rows, {threads} threads");
            }
        }
    }
}

fn linear(p: &mut Product) -> &mut Linear {
    match &mut p.step.kernel {
        Kernel::Linear(linear) => linear,
        _ => unreachable!("made as one"),
    }
}

#[test]
fn bias_and_residual_are_added() {
    for t in [1, 2, 6] {
        let mut p = product(DType::F32, 33, 64, t);
        linear(&mut p).epilogue = Epilogue::Store { bias: Some(input(1)), residual: Some(input(2)), out: OUT };
        let mut random = Lcg(5);
        let (bias, residual) = (random.values(33), random.values(t * 33));
        for (i, exact) in p.exact.iter_mut().enumerate() {
            *exact += f64::from(bias[i % 33]) + f64::from(residual[i]);
        }
        p.step.inputs.extend([HostTensor::f32([33], bias), HostTensor::f32([t, 33], residual)]);
        assert_close(&p, 64, &p.step.run(&mut executor(Isa::detect(), 2, false)), false, "bias and residual");
    }
}

#[test]
fn gated_takes_gate_rows_then_up_rows_of_two_tensors() {
    for act in [UnaryOp::Silu, UnaryOp::Gelu] {
        for t in [1, 5] {
            let f = 35;
            let mut p = product(DType::F32, f, 64, t);
            let (up, w) = random_weight(DType::F32, f, 64, &mut Lcg(99));
            p.step.placements[0].parts.push(up);
            p.step.out.0 = [t, f].into();
            let l = linear(&mut p);
            (l.n, l.epilogue) = (2 * f, Epilogue::Gated { act, out: OUT });
            let x: Vec<f64> = p.step.inputs[0].as_f32().unwrap().iter().map(|&x| f64::from(x)).collect();
            for (i, exact) in p.exact.iter_mut().enumerate() {
                let up: f64 = w[i % f * 64..][..64].iter().zip(&x[i / f * 64..]).map(|(w, x)| w * x).sum();
                let gate = *exact;
                let tanh = (0.797_884_560_8 * (gate + 0.044_715 * gate.powi(3))).tanh();
                *exact = up * if act == UnaryOp::Silu { gate / (1.0 + (-gate).exp()) } else { 0.5 * gate * (1.0 + tanh) };
            }
            let got = p.step.run(&mut executor(Isa::detect(), 2, false));
            let worst = got.as_f32().unwrap().iter().zip(&p.exact).map(|(&g, e)| (f64::from(g) - e).abs()).fold(0.0, f64::max);
            assert!(worst <= 2e-5, "{act:?}, {t} rows: {worst:e}");
        }
    }
}

#[test]
fn a_norm_prologue_is_the_norm_of_the_rows() {
    for t in [1, 3, 17] {
        let mut p = product(DType::F32, 9, 96, t);
        linear(&mut p).norm = Some((input(1), ScalarRef(0)));
        p.step.scalars = vec![Literal::F32(1e-5)];
        let weight = Lcg(8).values(96);
        let (_, w) = random_weight(DType::F32, 9, 96, &mut Lcg((9 * 31 + 96 * 7 + t) as u64));
        let x = p.step.inputs[0].as_f32().unwrap().to_vec();
        for (i, exact) in p.exact.iter_mut().enumerate() {
            let x: Vec<f64> = x[i / 9 * 96..][..96].iter().map(|&x| f64::from(x)).collect();
            let factor = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / 96.0 + f64::from(1e-5f32)).sqrt();
            *exact = w[i % 9 * 96..][..96].iter().zip(&x).zip(&weight).map(|((w, x), &n)| w * x * factor * f64::from(n)).sum();
        }
        p.step.inputs.push(HostTensor::f32([96], weight));
        assert_close(&p, 96, &p.step.run(&mut executor(Isa::detect(), 2, false)), false, "norm prologue");
    }
}

/// The same step with only row `t` of its activations, and of its residual where it has one.
fn alone(step: &OneStep, t: usize) -> OneStep {
    let mut kernel = step.kernel.clone();
    let mut inputs = step.inputs.clone();
    let Kernel::Linear(linear) = &mut kernel else { unreachable!("made as one") };
    let n_tokens = std::mem::replace(&mut linear.rows.count, 1);
    let residual = match linear.epilogue {
        Epilogue::Store { residual: Some(Buf::Input(id)), .. } => Some(id.0 as usize),
        _ => None,
    };
    for i in std::iter::once(0).chain(residual) {
        let values = inputs[i].as_f32().unwrap();
        let width = values.len() / n_tokens;
        inputs[i] = HostTensor::f32([1, width], values[t * width..][..width].to_vec());
    }
    let mut out = step.out.clone();
    out.0 = [1, out.0.last_dim()].into();
    OneStep { kernel, inputs, placements: step.placements.clone(), scalars: step.scalars.clone(), out, bucket: None, caches: Vec::new() }
}

/// Linears of one weight type with each epilogue that stores to a buffer, one of them behind a norm. Lengths of rows are no multiples of what the
/// kernels take at once.
fn with_every_epilogue(dtype: DType, t: usize) -> Vec<OneStep> {
    let k = match dtype.block_len() {
        256 => 512,
        32 => 352,
        _ => 200,
    };
    let n = 19;
    let mut plain = product(dtype, n, k, t);
    let mut random = Lcg(17);
    linear(&mut plain).epilogue = Epilogue::Store { bias: Some(input(1)), residual: Some(input(2)), out: OUT };
    plain.step.inputs.extend([HostTensor::f32([n], random.values(n)), HostTensor::f32([t, n], random.values(t * n))]);
    let mut gated = product(dtype, n, k, t);
    gated.step.placements[0].parts.push(random_weight(dtype, n, k, &mut random).0);
    let l = linear(&mut gated);
    (l.n, l.epilogue) = (2 * n, Epilogue::Gated { act: UnaryOp::Silu, out: OUT });
    let mut normed = product(dtype, n, k, t);
    linear(&mut normed).norm = Some((input(1), ScalarRef(0)));
    normed.step.scalars = vec![Literal::F32(1e-5)];
    normed.step.inputs.push(HostTensor::f32([k], random.values(k)));
    vec![plain.step, gated.step, normed.step]
}

fn row_bits(tensor: &HostTensor, t: usize, n_rows: usize) -> Vec<u32> {
    let values = tensor.as_f32().unwrap();
    let width = values.len() / n_rows;
    values[t * width..][..width].iter().map(|v| v.to_bits()).collect()
}

#[test]
fn two_to_eight_rows_give_each_the_bits_that_it_has_alone() {
    for dtype in dtypes() {
        for isa in Isa::available() {
            for precise in [false, true] {
                let mut executor = executor(isa, 2, precise);
                for t in 2..=8 {
                    for (epilogue, step) in with_every_epilogue(dtype, t).iter().enumerate() {
                        let together = step.run(&mut executor);
                        for row in [0, t / 2, t - 1] {
                            let single = alone(step, row).run(&mut executor);
                            assert!(
                                row_bits(&together, row, t) == row_bits(&single, 0, 1),
                                "{dtype}, row {row} of {t}, epilogue {epilogue} on {}, precise: {precise}",
                                isa.name()
                            );
                        }
                    }
                }
            }
        }
    }
}

/// From nine rows on a row's bits depend neither on how many there are nor on its place among them.
#[test]
fn of_many_rows_each_has_the_same_bits() {
    for dtype in dtypes() {
        for isa in Isa::available() {
            for precise in [false, true] {
                let mut executor = executor(isa, 2, precise);
                let most = product(dtype, 35, if dtype.block_len() == 256 { 768 } else { 608 }, 23).step;
                let all = most.run(&mut executor);
                for (first, t) in [(0, 9), (3, 10), (1, 22)] {
                    let mut fewer = OneStep::new(most.kernel.clone(), most.inputs.clone(), [t, 35]);
                    fewer.placements = most.placements.clone();
                    let values = most.inputs[0].as_f32().unwrap();
                    let k = values.len() / 23;
                    fewer.inputs[0] = HostTensor::f32([t, k], values[first * k..][..t * k].to_vec());
                    let Kernel::Linear(linear) = &mut fewer.kernel else { unreachable!("made as one") };
                    linear.rows.count = t;
                    let got = fewer.run(&mut executor);
                    for row in 0..t {
                        assert!(
                            row_bits(&got, row, t) == row_bits(&all, first + row, 23),
                            "{dtype}, row {row} of {t} on {}, precise: {precise}",
                            isa.name()
                        );
                    }
                }
            }
        }
    }
}

//! Reductions, extrema, running sums, sorting and softmax along every axis.

use crate::graph::{Op, ReduceOp};
use crate::tensor::HostTensor;

use super::case::{Bound, Case};
use super::noise::Noise;

pub fn cases(cases: &mut Vec<Case>) {
    let mut noise = Noise::new(3);
    for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max, ReduceOp::Min, ReduceOp::Prod] {
        for axis in 0..3 {
            let name = format!("reduce {op:?} along {axis}").to_lowercase();
            cases.push(Case::of(name, Bound::Relative(1e-5), vec![noise.f32([3, 33, 5])], |g, i| {
                vec![g.reduce(op, i[0], axis, axis == 1).expect("an axis")]
            }));
        }
    }
    for len in [1usize, 2, 31, 257, 4097] {
        cases.push(Case::of(format!("reduce sum of {len}"), Bound::Relative(1e-5), vec![noise.f32([2, len])], |g, i| {
            vec![g.reduce(ReduceOp::Sum, i[0], 1, false).expect("an axis")]
        }));
        // Few distinct values, so that ties are sure.
        cases.push(Case::of(format!("argmax of {len}"), Bound::Exact, vec![noise.i32([3, len], 5), noise.f32([len])], |g, i| {
            vec![
                g.add(Op::ArgMax { axis: 1, keep: false }, &[i[0]]).expect("an axis"),
                g.add(Op::ArgMin { axis: 1, keep: true }, &[i[0]]).expect("an axis"),
                g.add(Op::ArgMax { axis: 0, keep: false }, &[i[1]]).expect("an axis"),
            ]
        }));
        cases.push(Case::of(format!("softmax of {len}"), Bound::Relative(1e-5), vec![noise.f32([3, len])], |g, i| {
            vec![g.softmax(i[0], 1).expect("an axis"), g.softmax(i[0], 0).expect("an axis")]
        }));
    }
    let wide = HostTensor::f32([2, 4], vec![1000.0, 999.0, -1000.0, 0.0, -65504.0, -65504.0, -65503.0, -65504.0]);
    cases.push(Case::of("softmax of large values", Bound::Relative(1e-5), vec![wide], |g, i| vec![g.softmax(i[0], 1).expect("an axis")]));
    cases.push(Case::of("cumsum", Bound::Relative(1e-5), vec![noise.f32([3, 33, 2])], |g, i| {
        (0..3).map(|axis| g.add(Op::CumSum { axis }, &[i[0]]).expect("an axis")).collect()
    }));
    for len in [1usize, 2, 33, 257] {
        cases.push(Case::of(format!("argsort of {len}"), Bound::Exact, vec![noise.i32([2, len], 7), noise.f32([3, len])], |g, i| {
            vec![
                g.add(Op::ArgSort { descending: false }, &[i[0]]).expect("a tensor"),
                g.add(Op::ArgSort { descending: true }, &[i[0]]).expect("a tensor"),
                g.add(Op::ArgSort { descending: true }, &[i[1]]).expect("a tensor"),
            ]
        }));
    }
    // A row of -inf alone, NaN of either sign, and an infinity.
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let rows = HostTensor::f32([4, 3], vec![-inf, -inf, -inf, 1.0, nan, -inf, 0.5, 2.0, -0.5, inf, 0.0, -nan]);
    cases.push(Case::of("softmax and sort of NaN", Bound::Relative(1e-5), vec![rows], |g, i| {
        let mut outputs = vec![g.softmax(i[0], 1).expect("an axis"), g.softmax(i[0], 0).expect("an axis")];
        outputs.extend([ReduceOp::Max, ReduceOp::Min].map(|op| g.reduce(op, i[0], 1, false).expect("an axis")));
        outputs.extend([true, false].map(|descending| g.add(Op::ArgSort { descending }, &[i[0]]).expect("a tensor")));
        outputs.extend([0, 1].map(|axis| g.add(Op::ArgMax { axis, keep: false }, &[i[0]]).expect("an axis")));
        outputs
    }));
    // Longer than a block of each kernel, and than a block of its blocks.
    let long = HostTensor::f32([2, 1100], (0..2200).map(|i| 0.1 + (i * 7919 % 1013) as f32 * 1e-4).collect());
    cases.push(Case::of("cumsum of 1100", Bound::Relative(1e-5), vec![long], |g, i| {
        vec![g.add(Op::CumSum { axis: 1 }, i).expect("an axis")]
    }));
    cases.push(Case::of("argsort of 1100", Bound::Exact, vec![noise.i32([2, 1100], 300)], |g, i| {
        [true, false].map(|descending| g.add(Op::ArgSort { descending }, i).expect("a tensor")).to_vec()
    }));
}

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
}

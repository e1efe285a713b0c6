//! Moving elements: slices, permutations, broadcasts, concatenation, gathering, scattering, ranges and random tensors.

use crate::graph::{Op, RandomKind};
use crate::tensor::HostTensor;

use super::case::{Bound, Case};
use super::noise::Noise;

pub fn cases(cases: &mut Vec<Case>) {
    let mut noise = Noise::new(2);
    cases.push(Case::of("permute", Bound::Exact, vec![noise.f32([3, 5, 7])], |g, i| {
        vec![g.permute(i[0], &[2, 0, 1]).expect("an order"), g.permute(i[0], &[0, 2, 1]).expect("an order")]
    }));
    cases.push(Case::of("slice", Bound::Exact, vec![noise.f32([9, 11])], |g, i| {
        vec![
            g.slice(i[0], &[(1, 2, 4), (10, -3, 4)]).expect("within the tensor"),
            g.slice(i[0], &[(8, 1, 1), (0, 1, 11)]).expect("within the tensor"),
        ]
    }));
    cases.push(Case::of("broadcast", Bound::Exact, vec![noise.f32([3, 1, 5])], |g, i| {
        vec![g.broadcast_to(i[0], [2, 3, 4, 5]).expect("a shape that it broadcasts to")]
    }));
    cases.push(Case::of("reshape of a permuted tensor", Bound::Exact, vec![noise.f32([4, 6])], |g, i| {
        let p = g.permute(i[0], &[1, 0]).expect("two dimensions");
        vec![g.reshape(p, [8, 3]).expect("as many elements")]
    }));
    cases.push(Case::of("concat", Bound::Exact, vec![noise.f32([2, 3, 5]), noise.f32([2, 1, 5]), noise.f32([2, 4, 5])], |g, i| {
        vec![g.concat(i, 1).expect("parts that fit")]
    }));
    cases.push(Case::of("concat of ints along 0", Bound::Exact, vec![noise.i32([1, 3], 100), noise.i32([33, 3], 100)], |g, i| {
        vec![g.concat(i, 0).expect("parts that fit")]
    }));
    let indices = HostTensor::i32([2, 3], vec![4, 0, -1, 2, 7, 6]);
    cases.push(Case::of("gather", Bound::Exact, vec![noise.f32([3, 7, 5]), indices], |g, i| {
        vec![g.add(Op::Gather { axis: 1 }, &[i[0], i[1]]).expect("int indices")]
    }));
    let indices = HostTensor::i32([5], vec![1, 1, 9, 0, 1]);
    cases.push(Case::of("scatter_add", Bound::Relative(1e-6), vec![noise.f32([2, 3, 4]), indices, noise.f32([2, 5, 4])], |g, i| {
        vec![g.add(Op::ScatterAdd { axis: 1 }, i).expect("updates that fit")]
    }));
    let many = noise.i32([600], 7);
    cases.push(Case::of("scatter_add of many", Bound::Relative(1e-5), vec![noise.f32([7, 2]), many, noise.f32([600, 2])], |g, i| {
        vec![g.add(Op::ScatterAdd { axis: 0 }, i).expect("updates that fit")]
    }));
    cases.push(Case::of("select_row", Bound::Exact, vec![noise.f32([7, 33])], |g, i| {
        [0, 6, 3]
            .map(|row| {
                let row = g.literal_i32(row);
                g.add(Op::SelectRow, &[i[0], row]).expect("a matrix")
            })
            .to_vec()
    }));
    cases.push(Case::of("iota", Bound::Exact, vec![], |g, _| vec![g.iota(1), g.iota(1000)]));
    for (kind, bound) in [(RandomKind::Uniform, Bound::Exact), (RandomKind::Normal, Bound::Relative(1e-4))] {
        cases.push(Case::of(format!("random {kind:?}").to_lowercase(), bound, vec![], |g, _| {
            let seed = g.literal_i32(-7);
            vec![g.random(kind, [131], seed)]
        }));
    }
}

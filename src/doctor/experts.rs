//! Products with the matrices of experts, for every weight type: chosen twice, by no token, and out of range.

use crate::tensor::{DType, HostTensor};

use super::Arithmetic;
use super::case::{Bound, Case, weight};
use super::contraction::{linear_bound, weight_types};
use super::noise::Noise;

/// Experts of a case; ids go from one before to one past them.
const EXPERTS: usize = 5;

pub fn cases(arithmetic: Arithmetic, cases: &mut Vec<Case>) {
    let mut noise = Noise::new(17);
    for dtype in weight_types() {
        let block = dtype.block_len().max(32);
        // Rows of an expert and their length; tokens and choices of each; whether each choice has a row of x.
        for (n, k, rows, chosen, each) in
            [(7, block, 1, 3, false), (33, 2 * block, 3, 2, true), (70, 512, 1, 4, true), (40, 512, 20, 2, false)]
        {
            cases.push(case(arithmetic, &mut noise, dtype, (n, k), (rows, chosen), each));
        }
    }
    // A row length that no group divides, as narrow experts may have.
    cases.push(case(arithmetic, &mut noise, DType::F16, (9, 44), (4, 2), false));
}

fn case(
    arithmetic: Arithmetic,
    noise: &mut Noise,
    dtype: DType,
    (n, k): (usize, usize),
    (rows, chosen): (usize, usize),
    each: bool,
) -> Case {
    let w = weight(noise, "experts", [EXPERTS, n, k], dtype);
    let x = if each { noise.f32([rows, chosen, k]) } else { noise.f32([rows, k]) };
    let ids = (0..rows * chosen).map(|i| (i * i + 3 * i) as i32 % (EXPERTS as i32 + 2) - 1).collect();
    let name = format!("expert_linear {dtype} {EXPERTS}x{n}x{k}, {rows} rows of {chosen}{}", if each { ", x by choice" } else { "" });
    let (bound, magnitude) = linear_bound(arithmetic, dtype, k);
    Case::of(name, Bound::Scaled { bound, magnitude }, vec![x, HostTensor::i32([rows, chosen], ids)], |g, i| {
        let w = g.weight(w);
        vec![g.expert_linear(i[0], w, i[1]).expect("sizes that fit")]
    })
}

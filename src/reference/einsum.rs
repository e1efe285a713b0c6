//! `Op::Einsum`: the product of the operands, summed over every letter that the result lacks.

use crate::graph::EinsumSpec;
use crate::tensor::{DType, Shape};

use super::value::Value;

pub fn einsum(spec: &EinsumSpec, operands: &[&Value], shape: &Shape) -> Value {
    let shapes: Vec<&Shape> = operands.iter().map(|v| &v.shape).collect();
    let (sizes, _) = spec.infer(&shapes).expect("shapes were checked when the node was made");
    let summed: Vec<(char, usize)> = sizes.iter().copied().filter(|(c, _)| !spec.output.contains(c)).collect();
    // The letters of one counter: the result's, then the summed ones.
    let letters: Vec<char> = spec.output.iter().copied().chain(summed.iter().map(|s| s.0)).collect();
    let strides: Vec<Vec<usize>> = spec
        .operands
        .iter()
        .zip(&shapes)
        .map(|(own, shape)| {
            let own_strides = shape.strides();
            letters.iter().map(|c| own.iter().zip(&own_strides).filter(|(d, _)| *d == c).map(|(_, s)| s).sum()).collect()
        })
        .collect();
    let sum_shape = Shape::new(summed.iter().map(|s| s.1).collect::<Vec<_>>());
    let data = (0..shape.len())
        .map(|o| {
            let outer = unravel(o, shape);
            (0..sum_shape.len())
                .map(|s| {
                    let index: Vec<usize> = outer.iter().copied().chain(unravel(s, &sum_shape)).collect();
                    let at = |strides: &[usize]| index.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>();
                    operands.iter().zip(&strides).map(|(v, s)| v.data[at(s)]).product::<f64>()
                })
                .sum()
        })
        .collect();
    Value::new(shape.clone(), DType::F32, data)
}

/// The coordinates of row-major element `i`.
pub fn unravel(mut i: usize, shape: &Shape) -> Vec<usize> {
    let mut index = vec![0; shape.rank()];
    for (slot, &dim) in index.iter_mut().zip(shape.dims()).rev() {
        *slot = i % dim;
        i /= dim;
    }
    index
}

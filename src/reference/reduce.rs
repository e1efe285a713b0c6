//! Reductions, running sums and sorting along an axis. An extremum is NaN where one element is, and its index that of the first NaN, as in
//! NumPy; NaN sorts after all numbers in either direction, and -0 is 0.

use std::cmp::Ordering;

use crate::graph::ReduceOp;
use crate::graph::math::{max_f64, min_f64};
use crate::tensor::{DType, Shape};

use super::value::Value;

/// The lines of `x` along `axis`: for each (outer, inner) its elements in order.
fn lines(x: &Value, axis: usize) -> impl Iterator<Item = Vec<f64>> {
    let (len, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
    let outer: usize = x.shape[..axis].iter().product();
    (0..outer).flat_map(move |o| (0..inner).map(move |i| (0..len).map(|j| x.data[(o * len + j) * inner + i]).collect()))
}

pub fn reduce(op: ReduceOp, x: &Value, axis: usize, shape: &Shape) -> Value {
    let data = lines(x, axis)
        .map(|line| match op {
            ReduceOp::Sum => line.iter().sum(),
            ReduceOp::Mean => line.iter().sum::<f64>() / line.len() as f64,
            ReduceOp::Max => line.iter().copied().fold(f64::NEG_INFINITY, max_f64),
            ReduceOp::Min => line.iter().copied().fold(f64::INFINITY, min_f64),
            ReduceOp::Prod => line.iter().product(),
        })
        .map(|v: f64| if x.dtype == DType::I32 { f64::from(v as i64 as i32) } else { v })
        .collect();
    Value::new(shape.clone(), x.dtype, data)
}

/// The lowest index whose element beats every other by `better`; NaN beats all numbers.
pub fn arg_extremum(x: &Value, axis: usize, shape: &Shape, better: fn(f64, f64) -> bool) -> Value {
    let data = lines(x, axis)
        .map(|line| {
            let mut best = 0;
            for (i, &v) in line.iter().enumerate() {
                if better(v, line[best]) || v.is_nan() && !line[best].is_nan() {
                    best = i;
                }
            }
            best as f64
        })
        .collect();
    Value::new(shape.clone(), DType::I32, data)
}

pub fn cumsum(x: &Value, axis: usize) -> Value {
    let (len, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
    let mut data = x.data.clone();
    for outer in data.chunks_mut((len * inner).max(1)) {
        for at in inner..len * inner {
            outer[at] += outer[at - inner];
        }
    }
    Value::new(x.shape.clone(), x.dtype, data)
}

/// Indices that sort the last axis, stable.
pub fn argsort(x: &Value, descending: bool) -> Value {
    let len = x.shape.last_dim().max(1);
    let mut data = Vec::with_capacity(x.data.len());
    for line in x.data.chunks(len) {
        let mut order: Vec<usize> = (0..line.len()).collect();
        order.sort_by(|&a, &b| compare(line[a], line[b], descending));
        data.extend(order.into_iter().map(|i| i as f64));
    }
    Value::new(x.shape.clone(), DType::I32, data)
}

/// NaN comes last either way.
fn compare(a: f64, b: f64, descending: bool) -> Ordering {
    match a.partial_cmp(&b) {
        Some(order) if descending => order.reverse(),
        Some(order) => order,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}

//! `Op::Gather` and `Op::ScatterAdd` along one axis.

use crate::tensor::Shape;

use super::value::Value;

/// Elements of `x` along `axis` at `indices`; out of range gives 0.
pub fn gather(x: &Value, indices: &Value, axis: usize, shape: &Shape) -> Value {
    let (len, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
    let outer: usize = x.shape[..axis].iter().product();
    let mut data = Vec::with_capacity(shape.len());
    for o in 0..outer {
        for &index in &indices.data {
            for i in 0..inner {
                data.push(if index >= 0.0 && index < len as f64 { x.data[(o * len + index as usize) * inner + i] } else { 0.0 });
            }
        }
    }
    Value::new(shape.clone(), x.dtype, data)
}

/// `x` with `updates` added along `axis`, in the order of `indices`; out of range is dropped.
pub fn scatter_add(x: &Value, indices: &Value, updates: &Value, axis: usize) -> Value {
    let (len, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
    let outer: usize = x.shape[..axis].iter().product();
    let count = indices.data.len();
    let mut data = x.data.clone();
    for o in 0..outer {
        for (j, &index) in indices.data.iter().enumerate().filter(|(_, i)| **i >= 0.0 && **i < len as f64) {
            for i in 0..inner {
                data[(o * len + index as usize) * inner + i] += updates.data[(o * count + j) * inner + i];
            }
        }
    }
    Value::new(x.shape.clone(), x.dtype, data)
}

//! `Op::Softmax` along one axis. All of a line is NaN where it holds NaN or inf, or -inf alone.

use crate::tensor::DType;

use super::value::Value;

pub fn softmax(x: &Value, axis: usize) -> Value {
    let (len, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
    let mut data = x.data.clone();
    for outer in data.chunks_mut((len * inner).max(1)) {
        for i in 0..inner {
            let at = |j: usize| j * inner + i;
            let max = (0..len).map(|j| outer[at(j)]).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = (0..len).map(|j| (outer[at(j)] - max).exp()).sum();
            (0..len).for_each(|j| outer[at(j)] = (outer[at(j)] - max).exp() / total);
        }
    }
    Value::new(x.shape.clone(), DType::F32, data)
}

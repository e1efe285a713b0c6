//! `Op::Linear`: `x · wᵀ`.

use crate::tensor::{DType, Shape};

use super::value::Value;

/// `x [..., K]`, `w [N, K]`.
pub fn linear(x: &Value, w: &Value, shape: &Shape) -> Value {
    let k = w.shape[1];
    let mut data = Vec::with_capacity(shape.len());
    for row in x.data.chunks(k.max(1)) {
        data.extend(w.data.chunks(k.max(1)).map(|weights| row.iter().zip(weights).map(|(a, b)| a * b).sum::<f64>()));
    }
    Value::new(shape.clone(), DType::F32, data)
}

//! `Op::ExpertLinear`: `x · wᵀ` with the matrices that the ids name.

use crate::tensor::{DType, Shape};

use super::value::Value;

/// `x [T, K]` or `[T, C, K]`, `w [E, N, K]`, `ids [T, C]`. An id out of range gives 0.
pub fn expert_linear(x: &Value, w: &Value, ids: &Value, shape: &Shape) -> Value {
    let (n_experts, n, k) = (w.shape[0], w.shape[1], w.shape[2]);
    let choices_of_row = if x.shape.rank() == 2 { ids.shape[1] } else { 1 };
    let mut data = Vec::with_capacity(shape.len());
    for (choice, &id) in ids.data.iter().enumerate() {
        let row = &x.data[choice / choices_of_row * k..][..k];
        for column in 0..n {
            let is_known = id >= 0.0 && id < n_experts as f64;
            let weights = if is_known { &w.data[(id as usize * n + column) * k..][..k] } else { &[] };
            data.push(row.iter().zip(weights).map(|(a, b)| a * b).sum());
        }
    }
    Value::new(shape.clone(), DType::F32, data)
}

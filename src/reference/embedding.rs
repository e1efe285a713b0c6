//! `Op::Embedding`: rows of a table by id.

use crate::tensor::{DType, Shape};

use super::value::Value;

/// `ids [...]`, `table [V, C]`. An id out of range gives 0.
pub fn embedding(ids: &Value, table: &Value, shape: &Shape) -> Value {
    let (vocab, width) = (table.shape[0], table.shape[1]);
    let mut data = Vec::with_capacity(shape.len());
    for &id in &ids.data {
        if id >= 0.0 && id < vocab as f64 {
            data.extend(&table.data[id as usize * width..][..width]);
        } else {
            data.extend(std::iter::repeat_n(0.0, width));
        }
    }
    Value::new(shape.clone(), DType::F32, data)
}

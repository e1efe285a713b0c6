//! `Op::RmsNorm`: `x / sqrt(mean(x²) + eps) · weight`. Source: Zhang and Sennrich, arXiv:1910.07467.

use crate::tensor::DType;

use super::value::Value;

/// `x [..., C]`, `weight [C]`.
pub fn rms_norm(x: &Value, weight: &Value, eps: f64) -> Value {
    let width = x.shape.last_dim();
    let mut data = x.data.clone();
    for row in data.chunks_mut(width.max(1)) {
        let mean_square = row.iter().map(|v| v * v).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean_square + eps).sqrt();
        row.iter_mut().zip(&weight.data).for_each(|(v, w)| *v *= scale * w);
    }
    Value::new(x.shape.clone(), DType::F32, data)
}

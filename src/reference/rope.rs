//! `Op::Rope`: rotates pairs of a head by given (cos, sin). Source: Su et al., arXiv:2104.09864.

use crate::graph::RopeStyle;
use crate::tensor::DType;

use super::value::Value;

/// `x [T, H, D]`, `rows [T, n_dims / 2, 2]`.
pub fn rope(x: &Value, rows: &Value, style: RopeStyle, n_dims: usize) -> Value {
    let (n_heads, d) = (x.shape[1], x.shape[2]);
    let mut data = x.data.clone();
    for (i, head) in data.chunks_mut(d.max(1)).enumerate() {
        let t = i / n_heads;
        rotate(head, &rows.data[t * n_dims..(t + 1) * n_dims], style, n_dims);
    }
    Value::new(x.shape.clone(), DType::F32, data)
}

/// Rotates the first `n_dims` of one head by its row of (cos, sin).
pub fn rotate(head: &mut [f64], row: &[f64], style: RopeStyle, n_dims: usize) {
    for i in 0..n_dims / 2 {
        let (a, b) = match style {
            RopeStyle::Interleaved => (2 * i, 2 * i + 1),
            RopeStyle::Neox => (i, i + n_dims / 2),
        };
        let (cos, sin) = (row[2 * i], row[2 * i + 1]);
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
    }
}

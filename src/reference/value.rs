//! A value of the reference: f64 whatever the type.

use crate::graph::ExecError;
use crate::tensor::{DType, HostData, HostTensor, Quant, Shape};

/// A tensor of f64, row-major. Ints and Booleans are whole numbers.
#[derive(Clone, Debug)]
pub struct Value {
    pub shape: Shape,
    pub dtype: DType,
    pub data: Vec<f64>,
}

impl Value {
    pub fn new(shape: Shape, dtype: DType, data: Vec<f64>) -> Self {
        debug_assert_eq!(shape.len(), data.len());
        Value { shape, dtype, data }
    }

    pub fn scalar(dtype: DType, value: f64) -> Self {
        Value::new(Shape::scalar(), dtype, vec![value])
    }

    pub fn from_host(tensor: &HostTensor) -> Self {
        Value::new(tensor.shape.clone(), tensor.dtype, (0..tensor.len()).map(|i| tensor.value(i)).collect())
    }

    /// Rounded once, to f32 or i32.
    pub fn to_host(&self) -> HostTensor {
        let data = if self.dtype.is_float() {
            HostData::F32(self.data.iter().map(|&v| v as f32).collect())
        } else {
            HostData::I32(self.data.iter().map(|&v| v as i32).collect())
        };
        HostTensor { shape: self.shape.clone(), dtype: self.dtype, data }
    }

    /// The values of a weight's bytes.
    ///
    /// # Errors
    /// When the bytes are not as many as the shape needs.
    pub fn from_weight_bytes(shape: &Shape, dtype: DType, bytes: &[u8]) -> Result<Self, ExecError> {
        let expected = dtype.storage_bytes(shape.len());
        if expected != Some(bytes.len()) {
            return Err(ExecError::Io(format!("{} bytes of {dtype}{shape}, {expected:?} expected", bytes.len())));
        }
        let data = match dtype {
            DType::F32 => bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
            DType::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
            DType::BF16 => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
            DType::I32 => bytes.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
            DType::Bool => bytes.iter().map(|&b| f64::from(u8::from(b != 0))).collect(),
            DType::Quant(q) => dequantize(q, bytes),
        };
        let dtype = if matches!(dtype, DType::Quant(_)) { DType::F32 } else { dtype };
        Ok(Value::new(shape.clone(), dtype, data))
    }
}

fn dequantize(quant: Quant, bytes: &[u8]) -> Vec<f64> {
    let mut block = vec![0.0f32; quant.block_len];
    let mut values = Vec::with_capacity(bytes.len() / quant.block_bytes * quant.block_len);
    for bytes in bytes.chunks_exact(quant.block_bytes) {
        (quant.dequantize)(bytes, &mut block);
        values.extend(block.iter().map(|&v| f64::from(v)));
    }
    values
}

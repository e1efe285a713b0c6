//! A tensor whose values lie in host memory, row-major.

use super::{DType, Shape};

/// The values of a host tensor. Float types are held as f32, `Bool` as `i32` 0 or 1.
#[derive(Clone, Debug, PartialEq)]
pub enum HostData {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

/// A tensor in host memory, row-major: what is uploaded, read back and printed.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    pub shape: Shape,
    /// `F32`, `F16`, `BF16` (data is `HostData::F32`, already rounded to the type), `I32` or `Bool` (data is `HostData::I32`).
    pub dtype: DType,
    pub data: HostData,
}

impl HostTensor {
    /// An f32 tensor. `data` holds `shape.len()` values.
    pub fn f32(shape: impl Into<Shape>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.len(), data.len(), "values must fill {shape}");
        HostTensor { shape, dtype: DType::F32, data: HostData::F32(data) }
    }

    /// An i32 tensor. `data` holds `shape.len()` values.
    pub fn i32(shape: impl Into<Shape>, data: Vec<i32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.len(), data.len(), "values must fill {shape}");
        HostTensor { shape, dtype: DType::I32, data: HostData::I32(data) }
    }

    /// A Boolean tensor. `data` holds `shape.len()` values.
    pub fn bool(shape: impl Into<Shape>, data: Vec<bool>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.len(), data.len(), "values must fill {shape}");
        HostTensor { shape, dtype: DType::Bool, data: HostData::I32(data.into_iter().map(i32::from).collect()) }
    }

    pub fn len(&self) -> usize {
        self.shape.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as f32, or `None` for integers and Booleans.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            HostData::F32(v) => Some(v),
            HostData::I32(_) => None,
        }
    }

    /// The values as i32, or `None` for floats.
    pub fn as_i32(&self) -> Option<&[i32]> {
        match &self.data {
            HostData::I32(v) => Some(v),
            HostData::F32(_) => None,
        }
    }

    /// Element `i` in row-major order, widened to f64.
    pub fn value(&self, i: usize) -> f64 {
        match &self.data {
            HostData::F32(v) => f64::from(v[i]),
            HostData::I32(v) => f64::from(v[i]),
        }
    }

    /// The values as little-endian bytes, four an element: the device's representation.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            HostData::F32(v) => bytemuck::cast_slice(v),
            HostData::I32(v) => bytemuck::cast_slice(v),
        }
    }
}

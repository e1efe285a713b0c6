//! Values for the tests of patterns.

use crate::doctor::Noise;
use crate::tensor::HostTensor;

/// Seeded normal values.
pub fn noise(shape: &[usize], seed: u32) -> HostTensor {
    Noise::new(seed).f32(shape)
}

/// The tensor with each value replaced by `f(index, value)`.
pub fn map(tensor: &HostTensor, f: impl Fn(usize, f32) -> f32) -> HostTensor {
    let values = tensor.as_f32().unwrap().iter().enumerate().map(|(i, &v)| f(i, v)).collect();
    HostTensor::f32(tensor.shape.clone(), values)
}

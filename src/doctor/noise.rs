//! Seeded values for checks.

use crate::graph::philox::{philox4x32, unit};
use crate::tensor::{DType, HostTensor, Quant, Shape};

/// A stream of numbers that depends on its seed alone.
pub struct Noise {
    seed: u32,
    counter: u32,
}

impl Noise {
    pub fn new(seed: u32) -> Self {
        Noise { seed, counter: 0 }
    }

    /// 32 random bits.
    pub fn word(&mut self) -> u32 {
        self.counter += 1;
        philox4x32([self.counter, 0, 0, 0], [self.seed, 1])[0]
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f32 {
        unit(self.word())
    }

    /// About normal, by the sum of four uniform numbers: bounded, so that no case depends on a rare tail.
    pub fn normal(&mut self) -> f32 {
        ((0..4).map(|_| self.unit()).sum::<f32>() - 2.0) * 1.732
    }

    pub fn f32(&mut self, shape: impl Into<Shape>) -> HostTensor {
        let shape = shape.into();
        let data = (0..shape.len()).map(|_| self.normal()).collect();
        HostTensor::f32(shape, data)
    }

    /// Uniform ints in `0..below`.
    pub fn i32(&mut self, shape: impl Into<Shape>, below: u32) -> HostTensor {
        let shape = shape.into();
        let data = (0..shape.len()).map(|_| (self.word() % below) as i32).collect();
        HostTensor::i32(shape, data)
    }

    /// The bytes of `len` weights of deviation about 1: normal numbers for plain types, for block formats random bytes under small scales.
    pub fn weight_bytes(&mut self, dtype: DType, len: usize) -> Vec<u8> {
        match dtype {
            DType::F32 => (0..len).flat_map(|_| self.normal().to_le_bytes()).collect(),
            DType::F16 => (0..len).flat_map(|_| half::f16::from_f32(self.normal()).to_le_bytes()).collect(),
            DType::BF16 => (0..len).flat_map(|_| half::bf16::from_f32(self.normal()).to_le_bytes()).collect(),
            DType::I32 => (0..len).flat_map(|_| self.word().to_le_bytes()).collect(),
            DType::Bool => (0..len).map(|_| (self.word() & 1) as u8).collect(),
            DType::Quant(quant) => self.blocks(quant, len / quant.block_len),
        }
    }

    fn blocks(&mut self, quant: Quant, n_blocks: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..n_blocks * quant.block_bytes).map(|_| self.word() as u8).collect();
        let mut values = vec![0.0; quant.block_len];
        for block in bytes.chunks_exact_mut(quant.block_bytes) {
            quant.set_scales(block, 1.0);
            (quant.dequantize)(block, &mut values);
            let rms = (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt().max(1e-3);
            // Every seventh block has scales below f16's normal range, as the heads of real files have.
            let wanted = if self.word().is_multiple_of(7) { 2.0f32.powi(-16) } else { 0.5 + self.unit() };
            quant.set_scales(block, wanted / rms);
        }
        bytes
    }
}

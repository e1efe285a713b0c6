//! The element type of a tensor: a plain number or a block format of a weight.

use std::fmt;

use half::{bf16, f16};

use super::quant::Quant;

/// The element type of a tensor.
///
/// Activations are `F32`, `I32` or `Bool`, four bytes an element on every device (`Bool` is 0 or 1). `F16` and `BF16`
/// are storage types: of weights, and of declared tensors, whose values are rounded to the type and held as f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    F32,
    F16,
    BF16,
    I32,
    Bool,
    /// A block format; only weights have it.
    Quant(Quant),
}

impl DType {
    /// The name as the language prints it in a weight's type: `f32`, `q4_0`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::Bool => "bool",
            DType::Quant(q) => q.name,
        }
    }

    /// Elements in one block: 1 for plain numbers.
    pub fn block_len(self) -> usize {
        match self {
            DType::Quant(q) => q.block_len,
            _ => 1,
        }
    }

    /// Bytes of one block as it lies in a file.
    pub fn block_bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::Bool => 1,
            DType::Quant(q) => q.block_bytes,
        }
    }

    /// Whether the values are floating-point numbers.
    pub fn is_float(self) -> bool {
        !matches!(self, DType::I32 | DType::Bool)
    }

    /// Writes as f32 the elements of `bytes`, little-endian as they lie in a file: exact for every type a weight has.
    /// `bytes` holds whole blocks and `out` all their values; integers and Booleans are not weights and write nothing.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            DType::F32 => out.iter_mut().zip(bytes.chunks_exact(4)).for_each(|(v, b)| *v = f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            DType::F16 => out.iter_mut().zip(bytes.chunks_exact(2)).for_each(|(v, b)| *v = f16::from_le_bytes([b[0], b[1]]).to_f32()),
            DType::BF16 => out.iter_mut().zip(bytes.chunks_exact(2)).for_each(|(v, b)| *v = bf16::from_le_bytes([b[0], b[1]]).to_f32()),
            DType::Quant(q) => q.dequantize_rows(bytes, out),
            DType::I32 | DType::Bool => {}
        }
    }

    /// Bytes that `len` elements take in a file, or `None` when `len` is no whole number of blocks or overflows.
    pub fn storage_bytes(self, len: usize) -> Option<usize> {
        if !len.is_multiple_of(self.block_len()) {
            return None;
        }
        (len / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

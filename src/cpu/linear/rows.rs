//! The rows of a weight as a step reads them: pieces of bytes in the weight's own type, straight from its file.

use std::borrow::Cow;

use crate::cpu::isa::Isa;
use crate::cpu::vector::{widen_bf16_bytes, widen_f16_bytes};
use crate::tensor::DType;

/// Rows of one dtype and length, in as many pieces as the placement has tensors.
pub(in crate::cpu) struct WeightRows<'a> {
    pub dtype: DType,
    pub row_len: usize,
    pub row_bytes: usize,
    /// First row and bytes of each piece.
    pieces: Vec<(usize, Cow<'a, [u8]>)>,
    n_rows: usize,
}

impl<'a> WeightRows<'a> {
    /// `pieces` hold whole rows of `row_len` values each.
    pub fn new(dtype: DType, row_len: usize, pieces: Vec<Cow<'a, [u8]>>) -> Self {
        let row_bytes = row_len / dtype.block_len() * dtype.block_bytes();
        let mut n_rows = 0;
        let pieces = pieces
            .into_iter()
            .map(|bytes| {
                let first = n_rows;
                n_rows += bytes.len() / row_bytes.max(1);
                (first, bytes)
            })
            .collect();
        WeightRows { dtype, row_len, row_bytes, pieces, n_rows }
    }

    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Calls `each(offset, bytes, n)` for every run of rows of `first .. first + n` that lie one after another; `offset` counts from `first`.
    pub fn for_each_run(&self, first: usize, n: usize, mut each: impl FnMut(usize, &[u8], usize)) {
        for (i, (piece_first, bytes)) in self.pieces.iter().enumerate() {
            let piece_end = self.pieces.get(i + 1).map_or(self.n_rows, |next| next.0);
            let (start, end) = (first.max(*piece_first), (first + n).min(piece_end));
            if start < end {
                let at = (start - piece_first) * self.row_bytes;
                each(start - first, &bytes[at..at + (end - start) * self.row_bytes], end - start);
            }
        }
    }

    /// Writes the values of row `i`.
    pub fn widen(&self, isa: Isa, i: usize, out: &mut [f32]) {
        self.for_each_run(i, 1, |_, bytes, _| widen(isa, self.dtype, bytes, out));
    }
}

/// The values of whole blocks.
pub(in crate::cpu) fn widen(isa: Isa, dtype: DType, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        DType::F32 => {
            for (out, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                *out = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            }
        }
        DType::F16 => widen_f16_bytes(isa, bytes, out),
        DType::BF16 => widen_bf16_bytes(isa, bytes, out),
        DType::I32 => {
            for (out, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                *out = i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32;
            }
        }
        DType::Bool => {
            for (out, &b) in out.iter_mut().zip(bytes) {
                *out = f32::from(b);
            }
        }
        DType::Quant(quant) => quant.dequantize_rows(bytes, out),
    }
}

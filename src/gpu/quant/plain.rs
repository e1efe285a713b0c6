//! F32, F16 and BF16 on the device: as in the file, each row padded with 0 to whole groups of 32.

use super::{Quants, Rows, WeightFormat, u16_at, u32_at};

pub static F32: WeightFormat =
    WeightFormat { fragments: &["quant/plain", "quant/f32"], quants: Quants::Floats, quant_words: 32, scale_bits: 0, repack: words };

pub static F16: WeightFormat =
    WeightFormat { fragments: &["quant/plain", "quant/f16"], quants: Quants::Floats, quant_words: 16, scale_bits: 0, repack: halves };

pub static BF16: WeightFormat =
    WeightFormat { fragments: &["quant/plain", "quant/bf16"], quants: Quants::Floats, quant_words: 16, scale_bits: 0, repack: halves };

fn words(rows: &Rows, quants: &mut [u32], _scales: &mut [u32]) {
    let padded = rows.row_len.next_multiple_of(32);
    for (row, out) in rows.bytes.chunks_exact(rows.row_len * 4).zip(quants.chunks_exact_mut(padded)) {
        for (i, word) in out[..rows.row_len].iter_mut().enumerate() {
            *word = u32_at(row, 4 * i);
        }
    }
}

fn halves(rows: &Rows, quants: &mut [u32], _scales: &mut [u32]) {
    let padded = rows.row_len.next_multiple_of(32) / 2;
    for (row, out) in rows.bytes.chunks_exact(rows.row_len * 2).zip(quants.chunks_exact_mut(padded)) {
        for i in 0..rows.row_len {
            out[i / 2] |= u32::from(u16_at(row, 2 * i)) << (16 * (i % 2));
        }
    }
}

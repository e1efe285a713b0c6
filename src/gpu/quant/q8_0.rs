//! Q8_0 on the device: bytes as they lie in the file, scales in an array of their own.

use super::{Quants, Rows, WeightFormat, put_half, u16_at, u32_at};

pub static Q8_0: WeightFormat =
    WeightFormat { fragments: &["quant/common", "quant/q8_0"], quants: Quants::Signed, quant_words: 8, scale_bits: 16, repack };

fn repack(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    for (i, (block, words)) in rows.bytes.chunks_exact(34).zip(quants.chunks_exact_mut(8)).enumerate() {
        put_half(scales, rows.first_group + i, u16_at(block, 0));
        for (j, word) in words.iter_mut().enumerate() {
            *word = u32_at(block, 2 + 4 * j);
        }
    }
}

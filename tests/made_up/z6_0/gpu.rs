//! Z6_0 on the device: a byte a quant, and both scales in a word.

use tensorlogic::gpu::{Quants, Rows, WeightFormat};

use super::tensor::quant;

pub static LAYOUT: WeightFormat =
    WeightFormat { fragments: &["quant/common", "quant/z6_0"], quants: Quants::Unsigned(6), quant_words: 8, scale_bits: 32, repack };

fn repack(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    for (i, (block, words)) in rows.bytes.chunks_exact(28).zip(quants.chunks_exact_mut(8)).enumerate() {
        scales[rows.first_group + i] = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        for (j, word) in words.iter_mut().enumerate() {
            *word = u32::from_le_bytes(std::array::from_fn(|l| quant(block, 4 * j + l)));
        }
    }
}

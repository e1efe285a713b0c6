//! Formats of 32 four-bit quants a block, which the device keeps as they lie in the file: Q4_0, Q4_1, IQ4_NL and MXFP4.

use super::{Quants, Rows, WeightFormat, put_half, u16_at, u32_at};

pub static Q4_0: WeightFormat = WeightFormat {
    fragments: &["quant/common", "quant/q4_0"],
    quants: Quants::Unsigned(4),
    quant_words: 4,
    scale_bits: 16,
    repack: half_scale,
};

pub static Q4_1: WeightFormat =
    WeightFormat { fragments: &["quant/common", "quant/q4_1"], quants: Quants::Unsigned(4), quant_words: 4, scale_bits: 32, repack: q4_1 };

pub static IQ4_NL: WeightFormat = WeightFormat {
    fragments: &["quant/common", "quant/iq4_values", "quant/iq4_nl"],
    quants: Quants::Signed,
    quant_words: 4,
    scale_bits: 16,
    repack: half_scale,
};

pub static MXFP4: WeightFormat =
    WeightFormat { fragments: &["quant/common", "quant/mxfp4"], quants: Quants::Signed, quant_words: 4, scale_bits: 8, repack: mxfp4 };

/// An f16, then nibbles.
fn half_scale(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    for (i, (block, words)) in rows.bytes.chunks_exact(18).zip(quants.chunks_exact_mut(4)).enumerate() {
        put_half(scales, rows.first_group + i, u16_at(block, 0));
        copy_nibbles(&block[2..], words);
    }
}

fn q4_1(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    for (i, (block, words)) in rows.bytes.chunks_exact(20).zip(quants.chunks_exact_mut(4)).enumerate() {
        scales[rows.first_group + i] = u32_at(block, 0);
        copy_nibbles(&block[4..], words);
    }
}

fn mxfp4(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    for (i, (block, words)) in rows.bytes.chunks_exact(17).zip(quants.chunks_exact_mut(4)).enumerate() {
        let group = rows.first_group + i;
        scales[group / 4] |= u32::from(block[0]) << (8 * (group % 4));
        copy_nibbles(&block[1..], words);
    }
}

fn copy_nibbles(bytes: &[u8], words: &mut [u32]) {
    for (j, word) in words.iter_mut().enumerate() {
        *word = u32_at(bytes, 4 * j);
    }
}

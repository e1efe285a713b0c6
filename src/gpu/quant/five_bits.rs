//! Q5_0 and Q5_1 on the device: nibbles as in the file; high bits, spread as the kernels take them, beside the scales.

use super::{Quants, Rows, WeightFormat, spread_bits, u16_at, u32_at};

pub static Q5_0: WeightFormat = WeightFormat {
    fragments: &["quant/common", "quant/five_bits", "quant/q5_0"],
    quants: Quants::Unsigned(5),
    quant_words: 4,
    scale_bits: 64,
    repack: q5_0,
};

pub static Q5_1: WeightFormat = WeightFormat {
    fragments: &["quant/common", "quant/five_bits", "quant/q5_1"],
    quants: Quants::Unsigned(5),
    quant_words: 4,
    scale_bits: 64,
    repack: q5_1,
};

fn q5_0(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    repack::<22>(rows, quants, scales, |block| (u32::from(u16_at(block, 0)), 2));
}

fn q5_1(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    repack::<24>(rows, quants, scales, |block| (u32_at(block, 0), 4));
}

/// `head` gives the word of scales and where the high bits begin.
fn repack<const BYTES: usize>(rows: &Rows, quants: &mut [u32], scales: &mut [u32], head: impl Fn(&[u8]) -> (u32, usize)) {
    for (i, (block, words)) in rows.bytes.chunks_exact(BYTES).zip(quants.chunks_exact_mut(4)).enumerate() {
        let (scale, at) = head(block);
        let high = u32_at(block, at);
        let group = rows.first_group + i;
        scales[2 * group] = spread_bits(|value| high >> value & 1);
        scales[2 * group + 1] = scale;
        for (j, word) in words.iter_mut().enumerate() {
            *word = u32_at(block, at + 4 + 4 * j);
        }
    }
}

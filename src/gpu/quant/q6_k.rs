//! Q6_K on the device: in 48 bytes the low nibbles of two groups, then their high bits; a word of scales for each group.

use super::{Quants, Rows, WeightFormat, pack_nibbles, pack_pairs, u16_at};

pub static Q6_K: WeightFormat =
    WeightFormat { fragments: &["quant/common", "quant/q6_k"], quants: Quants::Unsigned(6), quant_words: 6, scale_bits: 32, repack };

fn repack(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    for (i, (block, words)) in rows.bytes.chunks_exact(210).zip(quants.chunks_exact_mut(48)).enumerate() {
        for group in 0..8 {
            let mut low = [0; 32];
            let mut high = [0; 32];
            // A half of 128 values has 64 low and 32 high bytes; its groups 0 and 1 are low nibbles, 2 and 3 high ones.
            let (half, part) = (group / 4, group % 4);
            for l in 0..32 {
                low[l] = block[half * 64 + part % 2 * 32 + l] >> (part / 2 * 4) & 15;
                high[l] = block[128 + half * 32 + l] >> (part * 2) & 3;
            }
            let pair = &mut words[group / 2 * 12..][..12];
            pack_nibbles(&low, &mut pair[group % 2 * 4..]);
            pack_pairs(&high, &mut pair[8 + group % 2 * 2..]);
            let (first, second) = (block[192 + group * 2], block[193 + group * 2]);
            scales[rows.first_group + i * 8 + group] = u32::from(u16_at(block, 208)) | u32::from(first) << 16 | u32::from(second) << 24;
        }
    }
}

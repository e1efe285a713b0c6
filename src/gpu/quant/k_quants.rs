//! The formats of 256 values a block on the device. Quants go by groups of 32 in one array, all scales of a block in another.

use super::{Quants, Rows, WeightFormat, pack_nibbles, pack_pairs, spread_bits, u16_at, u32_at};

pub static Q2_K: WeightFormat = WeightFormat {
    fragments: &["quant/common", "quant/two_bits", "quant/q2_k"],
    quants: Quants::Unsigned(2),
    quant_words: 2,
    scale_bits: 20,
    repack: q2_k,
};

pub static Q3_K: WeightFormat = WeightFormat {
    fragments: &["quant/common", "quant/two_bits", "quant/q3_k"],
    quants: Quants::Unsigned(3),
    quant_words: 2,
    scale_bits: 52,
    repack: q3_k,
};

pub static Q4_K: WeightFormat =
    WeightFormat { fragments: &["quant/common", "quant/q4_k"], quants: Quants::Unsigned(4), quant_words: 4, scale_bits: 20, repack: q4_k };

pub static Q5_K: WeightFormat = WeightFormat {
    fragments: &["quant/common", "quant/five_bits", "quant/q5_k"],
    quants: Quants::Unsigned(5),
    quant_words: 4,
    scale_bits: 52,
    repack: q5_k,
};

pub static IQ4_XS: WeightFormat = WeightFormat {
    fragments: &["quant/common", "quant/iq4_values", "quant/iq4_xs"],
    quants: Quants::Signed,
    quant_words: 4,
    scale_bits: 12,
    repack: iq4_xs,
};

/// Calls `each(block, quants, scales)` with the words of each block.
fn blocks(
    rows: &Rows,
    bytes: usize,
    quants: (&mut [u32], usize),
    scales: (&mut [u32], usize),
    each: impl Fn(&[u8], &mut [u32], &mut [u32]),
) {
    let first = rows.first_group / 8;
    let scales = scales.0[first * scales.1..].chunks_exact_mut(scales.1);
    for ((block, words), scales) in rows.bytes.chunks_exact(bytes).zip(quants.0.chunks_exact_mut(quants.1 * 8)).zip(scales) {
        each(block, words, scales);
    }
}

/// The two bits of value `l` of `group`, where a half of 128 values has 32 bytes of four groups each.
fn pair_of(bytes: &[u8], group: usize, l: usize) -> u8 {
    bytes[group / 4 * 32 + l] >> (group % 4 * 2) & 3
}

/// The nibbles of a group, where two groups share 32 bytes.
fn nibbles_of(bytes: &[u8], group: usize) -> [u8; 32] {
    std::array::from_fn(|l| bytes[group / 2 * 32 + l] >> (group % 2 * 4) & 15)
}

fn q2_k(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    blocks(rows, 84, (quants, 2), (scales, 5), |block, words, scales| {
        scales[0] = u32_at(block, 80);
        for (i, word) in scales[1..].iter_mut().enumerate() {
            *word = u32_at(block, 4 * i);
        }
        for group in 0..8 {
            pack_pairs(&std::array::from_fn(|l| pair_of(&block[16..80], group, l)), &mut words[2 * group..]);
        }
    });
}

fn q3_k(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    blocks(rows, 110, (quants, 2), (scales, 13), |block, words, scales| {
        scales[0] = u32::from(u16_at(block, 108));
        let packed = &block[96..108];
        for sub in 0..16 {
            let scale = packed[sub % 8] >> (sub / 8 * 4) & 15 | (packed[8 + sub % 4] >> (sub / 4 * 2) & 3) << 4;
            scales[1 + sub / 4] |= u32::from(scale.wrapping_sub(32)) << (8 * (sub % 4));
        }
        for group in 0..8 {
            scales[5 + group] = spread_bits(|value| u32::from(block[value] >> group & 1));
            pack_pairs(&std::array::from_fn(|l| pair_of(&block[32..96], group, l)), &mut words[2 * group..]);
        }
    });
}

/// d, dmin, then a byte of scale and one of min for each group, from the 12 bytes in which Q4_K and Q5_K pack them.
fn scales_and_mins(block: &[u8], scales: &mut [u32]) {
    scales[0] = u32_at(block, 0);
    let packed = &block[4..16];
    for sub in 0..8 {
        let (scale, min) = if sub < 4 {
            (packed[sub] & 63, packed[sub + 4] & 63)
        } else {
            (packed[sub + 4] & 15 | packed[sub - 4] >> 6 << 4, packed[sub + 4] >> 4 | packed[sub] >> 6 << 4)
        };
        scales[1 + sub / 2] |= (u32::from(scale) | u32::from(min) << 8) << (16 * (sub % 2));
    }
}

fn q4_k(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    blocks(rows, 144, (quants, 4), (scales, 5), |block, words, scales| {
        scales_and_mins(block, scales);
        for group in 0..8 {
            pack_nibbles(&nibbles_of(&block[16..144], group), &mut words[4 * group..]);
        }
    });
}

fn q5_k(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    blocks(rows, 176, (quants, 4), (scales, 13), |block, words, scales| {
        scales_and_mins(block, scales);
        for group in 0..8 {
            scales[5 + group] = spread_bits(|value| u32::from(block[16 + value] >> group & 1));
            pack_nibbles(&nibbles_of(&block[48..176], group), &mut words[4 * group..]);
        }
    });
}

fn iq4_xs(rows: &Rows, quants: &mut [u32], scales: &mut [u32]) {
    blocks(rows, 136, (quants, 4), (scales, 3), |block, words, scales| {
        scales[0] = u32::from(u16_at(block, 0));
        let high = u16_at(block, 2);
        for group in 0..8 {
            let scale = block[4 + group / 2] >> (group % 2 * 4) & 15 | ((high >> (group * 2) & 3) as u8) << 4;
            scales[1 + group / 4] |= u32::from(scale.wrapping_sub(32)) << (8 * (group % 4));
            for (j, word) in words[4 * group..4 * group + 4].iter_mut().enumerate() {
                *word = u32_at(block, 8 + 16 * group + 4 * j);
            }
        }
    });
}

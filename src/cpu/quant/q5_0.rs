//! Q5_0: 32 five-bit quants with one scale, `d * (q - 16)`.

use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q5_0;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q5_0, sub_len: 32, offset: 16, has_mins: false, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(22).enumerate() {
            scales[b] = f16_at(block, 0);
            five_bits_of_32(&block[2..22], &mut quants[b * 32..][..32]);
        }
    }
}

/// 4 bytes with bit 4 of each value, then 16 bytes of nibbles.
#[inline(always)]
pub(super) fn five_bits_of_32(bytes: &[u8], quants: &mut [u8]) {
    super::nibbles_of_32(&bytes[4..20], quants);
    for (quants, &high) in quants.chunks_exact_mut(8).zip(&bytes[..4]) {
        // The byte eight times, of which each place keeps its own bit.
        let spread = ((u64::from(high) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201).to_le_bytes();
        for i in 0..8 {
            quants[i] |= if spread[i] != 0 { 16 } else { 0 };
        }
    }
}

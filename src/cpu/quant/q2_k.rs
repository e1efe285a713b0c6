//! Q2_K: 256 two-bit quants in 16 sub-blocks of 16, each with a four-bit scale and a four-bit minimum.

use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q2_K;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q2_K, sub_len: 16, offset: 0, has_mins: true, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(84).enumerate() {
            let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
            for sub in 0..16 {
                scales[b * 16 + sub] = d * f32::from(block[sub] & 15);
                mins[b * 16 + sub] = dmin * f32::from(block[sub] >> 4);
            }
            let quants = &mut quants[b * 256..][..256];
            for half in 0..2 {
                two_bits_of_128(&block[16 + half * 32..][..32], &mut quants[half * 128..][..128]);
            }
        }
    }
}

/// The four values of each of 32 bytes, from the low bits up: value `l` of group `g` is bits `2g` of byte `l`.
#[inline(always)]
pub(super) fn two_bits_of_128(bytes: &[u8], quants: &mut [u8]) {
    for i in 0..32 {
        quants[i] = bytes[i] & 3;
        quants[i + 32] = bytes[i] >> 2 & 3;
        quants[i + 64] = bytes[i] >> 4 & 3;
        quants[i + 96] = bytes[i] >> 6;
    }
}

//! Q4_K: 256 four-bit quants in 8 sub-blocks of 32, each with a six-bit scale and a six-bit minimum.

use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q4_K;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q4_K, sub_len: 32, offset: 0, has_mins: true, unpack, matvecs: MATVECS };

#[cfg(not(target_arch = "x86_64"))]
const MATVECS: &[super::Matvec] = &[];
#[cfg(target_arch = "x86_64")]
const MATVECS: &[super::Matvec] = &[super::Matvec {
    isa: crate::cpu::isa::Isa::Avx512,
    order: super::LaneOrder::Linear,
    kernels: super::matvec::kernels!(super::sub_scaled_avx512::multiply, 144, false),
}];

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(144).enumerate() {
            scales_and_mins(block, &mut scales[b * 8..][..8], &mut mins[b * 8..][..8]);
            nibbles_of_256(&block[16..144], &mut quants[b * 256..][..256]);
        }
    }
}

/// The eight scales and minima that open a block of Q4_K and Q5_K: two f16, then 12 bytes in which those of sub-blocks 0-3 are the low
/// six bits of bytes 0-3 and 4-7, and those of 4-7 have their low bits in the nibbles of bytes 8-11 and their high two in the top
/// bits of bytes 0-7.
#[inline(always)]
pub(super) fn scales_and_mins(block: &[u8], scales: &mut [f32], mins: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let packed = &block[4..16];
    for i in 0..4 {
        scales[i] = d * f32::from(packed[i] & 63);
        mins[i] = dmin * f32::from(packed[i + 4] & 63);
        scales[i + 4] = d * f32::from(packed[i + 8] & 15 | packed[i] >> 6 << 4);
        mins[i + 4] = dmin * f32::from(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
    }
}

/// 128 bytes; each 32 hold 32 values in their low and the next 32 in their high nibbles.
#[inline(always)]
pub(super) fn nibbles_of_256(bytes: &[u8], quants: &mut [u8]) {
    for (bytes, quants) in bytes.chunks_exact(32).zip(quants.chunks_exact_mut(64)) {
        let (low, high) = quants.split_at_mut(32);
        for i in 0..32 {
            low[i] = bytes[i] & 15;
            high[i] = bytes[i] >> 4;
        }
    }
}

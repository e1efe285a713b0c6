//! Q5_K: 256 five-bit quants in 8 sub-blocks of 32, each with a six-bit scale and a six-bit minimum.

use super::Int8Format;
use super::q4_k::{nibbles_of_256, scales_and_mins};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q5_K;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q5_K, sub_len: 32, offset: 0, has_mins: true, unpack, matvecs: MATVECS };

#[cfg(not(target_arch = "x86_64"))]
const MATVECS: &[super::Matvec] = &[];
#[cfg(target_arch = "x86_64")]
const MATVECS: &[super::Matvec] = &[super::Matvec {
    isa: crate::cpu::isa::Isa::Avx512,
    order: super::LaneOrder::Linear,
    kernels: super::matvec::kernels!(super::sub_scaled_avx512::multiply, 176, true),
}];

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(176).enumerate() {
            scales_and_mins(block, &mut scales[b * 8..][..8], &mut mins[b * 8..][..8]);
            let quants = &mut quants[b * 256..][..256];
            nibbles_of_256(&block[48..176], quants);
            for (group, quants) in quants.chunks_exact_mut(32).enumerate() {
                for i in 0..32 {
                    quants[i] |= (block[16 + i] >> group & 1) << 4;
                }
            }
        }
    }
}

//! Q4_1: 32 four-bit quants, a scale and a minimum.

use super::{Int8Format, f16_at, nibbles_of_32};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q4_1;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q4_1, sub_len: 32, offset: 0, has_mins: true, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(20).enumerate() {
            scales[b] = f16_at(block, 0);
            mins[b] = -f16_at(block, 2);
            nibbles_of_32(&block[4..20], &mut quants[b * 32..][..32]);
        }
    }
}

//! Q5_1: 32 five-bit quants, a scale and a minimum.

use super::q5_0::five_bits_of_32;
use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q5_1;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q5_1, sub_len: 32, offset: 0, has_mins: true, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(24).enumerate() {
            scales[b] = f16_at(block, 0);
            mins[b] = -f16_at(block, 2);
            five_bits_of_32(&block[4..24], &mut quants[b * 32..][..32]);
        }
    }
}

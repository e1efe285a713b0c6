//! Q8_0: 32 signed bytes with one scale.

use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q8_0;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q8_0, sub_len: 32, offset: 128, has_mins: false, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(34).enumerate() {
            scales[b] = f16_at(block, 0);
            for (quant, &byte) in quants[b * 32..][..32].iter_mut().zip(&block[2..34]) {
                *quant = byte ^ 0x80;
            }
        }
    }
}

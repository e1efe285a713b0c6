//! IQ4_XS: 256 four-bit indices into the table of IQ4_NL, in 8 sub-blocks of 32 with a six-bit scale each.

use super::iq4_nl::{look_up_32, offset_table};
use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::{IQ4_VALUES, IQ4_XS};

pub(super) static FORMAT: Int8Format = Int8Format { quant: &IQ4_XS, sub_len: 32, offset: 128, has_mins: false, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        let table = offset_table(&IQ4_VALUES, 128);
        for (b, block) in blocks.chunks_exact(136).enumerate() {
            let d = f16_at(block, 0);
            let high = u16::from_le_bytes([block[2], block[3]]);
            for sub in 0..8 {
                let low = block[4 + sub / 2] >> (sub % 2 * 4) & 15;
                let scale = low | ((high >> (sub * 2) & 3) as u8) << 4;
                scales[b * 8 + sub] = d * (f32::from(scale) - 32.0);
                look_up_32::<FMA>(&table, &block[8 + sub * 16..][..16], &mut quants[b * 256 + sub * 32..][..32]);
            }
        }
    }
}

//! MXFP4: 32 four-bit floats with one power-of-two scale. Twice a four-bit float is an integer of at most 12.

use super::Int8Format;
use super::iq4_nl::{look_up_32, offset_table};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::{MXFP4, MXFP4_VALUES};

pub(super) static FORMAT: Int8Format = Int8Format { quant: &MXFP4, sub_len: 32, offset: 12, has_mins: false, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        let table = offset_table(&MXFP4_VALUES, 12);
        for (b, block) in blocks.chunks_exact(17).enumerate() {
            // 2^(e - 128); 0 and 1 give subnormal scales.
            let e = u32::from(block[0]);
            scales[b] = f32::from_bits(if e < 2 { 0x0020_0000 << e } else { (e - 1) << 23 });
            look_up_32::<FMA>(&table, &block[1..17], &mut quants[b * 32..][..32]);
        }
    }
}

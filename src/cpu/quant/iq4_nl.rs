//! IQ4_NL: 32 four-bit indices into a table of signed bytes, with one scale.

use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::{IQ4_NL, IQ4_VALUES};

pub(super) static FORMAT: Int8Format = Int8Format { quant: &IQ4_NL, sub_len: 32, offset: 128, has_mins: false, unpack, matvec: None };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        let table = offset_table(&IQ4_VALUES, 128);
        for (b, block) in blocks.chunks_exact(18).enumerate() {
            scales[b] = f16_at(block, 0);
            look_up_32(&table, &block[2..18], &mut quants[b * 32..][..32]);
        }
    }
}

/// The table's values plus `offset`, as unsigned bytes.
#[inline(always)]
pub(super) fn offset_table(table: &[i8; 16], offset: i32) -> [u8; 16] {
    table.map(|v| (i32::from(v) + offset) as u8)
}

/// The table's entries for 16 bytes of nibbles: low nibbles first, then high ones.
#[inline(always)]
pub(super) fn look_up_32(table: &[u8; 16], bytes: &[u8], quants: &mut [u8]) {
    let (low, high) = quants.split_at_mut(16);
    for i in 0..16 {
        low[i] = table[usize::from(bytes[i] & 15)];
        high[i] = table[usize::from(bytes[i] >> 4)];
    }
}

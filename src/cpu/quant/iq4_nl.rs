//! IQ4_NL: 32 four-bit indices into a table of signed bytes, with one scale.

use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::{IQ4_NL, IQ4_VALUES};

pub(super) static FORMAT: Int8Format = Int8Format { quant: &IQ4_NL, sub_len: 32, offset: 128, has_mins: false, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        let table = offset_table(&IQ4_VALUES, 128);
        for (b, block) in blocks.chunks_exact(18).enumerate() {
            scales[b] = f16_at(block, 0);
            look_up_32::<FMA>(&table, &block[2..18], &mut quants[b * 32..][..32]);
        }
    }
}

/// The table's values plus `offset`, as unsigned bytes.
#[inline(always)]
pub(super) fn offset_table(table: &[i8; 16], offset: i32) -> [u8; 16] {
    table.map(|v| (i32::from(v) + offset) as u8)
}

/// The table's entries for 16 bytes of nibbles: low nibbles first, then high ones. `SHUFFLE` says that the level is AVX2 or better.
#[inline(always)]
pub(super) fn look_up_32<const SHUFFLE: bool>(table: &[u8; 16], bytes: &[u8], quants: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if SHUFFLE {
        // SAFETY: `for_each_isa` gives true only to levels that have AVX2.
        unsafe { look_up_avx2(table, bytes, quants) };
        return;
    }
    let (low, high) = quants.split_at_mut(16);
    for i in 0..16 {
        low[i] = table[usize::from(bytes[i] & 15)];
        high[i] = table[usize::from(bytes[i] >> 4)];
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn look_up_avx2(table: &[u8; 16], bytes: &[u8], quants: &mut [u8]) {
    use std::arch::x86_64::*;
    assert!(bytes.len() >= 16 && quants.len() >= 32);
    // SAFETY: 16 bytes are read and 32 written, asserted above.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        let nibbles = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes), _mm256_set1_epi8(15));
        _mm256_storeu_si256(quants.as_mut_ptr().cast(), _mm256_shuffle_epi8(table, nibbles));
    }
}

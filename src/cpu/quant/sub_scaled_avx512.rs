//! The product of rows of Q4_K or Q5_K with a few rows of activations, from the file's layout.
//!
//! 64 bytes of nibbles hold four sub-blocks of 32: the low nibbles those at 0 and 2, the high ones those at 1 and 3. A vector takes two of
//! them, eight lanes each. Minima meet the scaled sums of the activations, eight at a time.

use std::arch::x86_64::*;

use super::LanesRow;
use super::matvec::{AHEAD, Streams, Sums};

/// From which bit of its group of eight each byte of high bits is read, so that the bit of the value stands at 4, for the two sub-blocks of
/// each of a block's four vectors.
static HIGH_BITS: [[u8; 64]; 4] = {
    let mut bits = [[0; 64]; 4];
    let mut at = 0;
    while at < 256 {
        let (vector, i) = (at / 64, at % 64);
        let sub = vector / 2 * 4 + vector % 2 + i / 32 * 2;
        bits[vector][i] = ((i % 8 * 8 + sub + 64 - 4) % 64) as u8;
        at += 1;
    }
    bits
};

/// As `matvec::Kernel`, of `S` weight rows and `T` rows of activations, in blocks of `BLOCK` bytes, with `HIGH` bits (Q5_K) or without (Q4_K).
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
pub(super) unsafe fn multiply<const S: usize, const T: usize, const BLOCK: usize, const HIGH: bool>(
    rows: Streams,
    acts: &[LanesRow<'_>],
    out: &mut Sums,
) {
    let n_blocks = rows.row_bytes / BLOCK;
    assert!(acts.iter().all(|act| act.quants.len() >= n_blocks * 256 && act.sums.len() >= n_blocks * 8));
    let acts: [LanesRow<'_>; T] = std::array::from_fn(|t| acts[t]);
    let mut sums = [[_mm512_setzero_ps(); T]; S];
    let mut mins = [[_mm256_setzero_ps(); T]; S];
    for i in 0..n_blocks {
        for s in 0..S {
            // SAFETY: the rows have so many blocks, and so do the activations, asserted above.
            unsafe {
                let at = rows.at(s, i * BLOCK);
                for line in 0..BLOCK.div_ceil(64) {
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + line * 64).cast());
                }
                add_block::<T, HIGH>(&mut sums[s], &mut mins[s], at, &acts, i);
            }
        }
    }
    for s in 0..S {
        for t in 0..T {
            let min = _mm512_insertf32x8::<0>(_mm512_setzero_ps(), mins[s][t]);
            out[s][t] = _mm512_reduce_add_ps(_mm512_sub_ps(sums[s][t], min));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
unsafe fn add_block<const T: usize, const HIGH: bool>(
    sums: &mut [__m512; T],
    mins: &mut [__m256; T],
    block: *const u8,
    acts: &[LanesRow<'_>; T],
    i: usize,
) {
    // SAFETY: the caller has a block at `block`, and in the activations 256 quants, 8 scales and 8 sums of block `i`.
    unsafe {
        let word = |at: usize| block.add(at).cast::<u32>().read_unaligned();
        let d = _mm_cvtph_ps(_mm_cvtsi32_si128(word(0) as i32));
        let (a, b, c) = (word(4), word(8), word(12));
        // Six-bit scales and minima, a byte each: see `q4_k::scales_and_mins`.
        let scales = u64::from(a & 0x3F3F_3F3F) | u64::from(c & 0x0F0F_0F0F | (a >> 6 & 0x0303_0303) << 4) << 32;
        let minima = u64::from(b & 0x3F3F_3F3F) | u64::from(c >> 4 & 0x0F0F_0F0F | (b >> 6 & 0x0303_0303) << 4) << 32;
        let widen = |bytes: u64| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes as i64)));
        let scales = _mm256_mul_ps(widen(scales), _mm256_broadcastss_ps(d));
        let minima = _mm256_mul_ps(widen(minima), _mm256_broadcastss_ps(_mm_movehdup_ps(d)));
        let mut factors = [_mm512_setzero_ps(); T];
        for t in 0..T {
            mins[t] = _mm256_fmadd_ps(minima, _mm256_loadu_ps(acts[t].sums.as_ptr().add(i * 8)), mins[t]);
            let scaled = _mm256_mul_ps(scales, _mm256_loadu_ps(acts[t].scales.as_ptr().add(i * 8)));
            factors[t] = _mm512_insertf32x8::<0>(_mm512_setzero_ps(), scaled);
        }
        let quants = block.add(if HIGH { 48 } else { 16 });
        let high = if HIGH { _mm512_broadcast_i64x4(_mm256_loadu_si256(block.add(16).cast())) } else { _mm512_setzero_si512() };
        for (vector, bits) in HIGH_BITS.iter().enumerate() {
            let bytes = _mm512_loadu_si512(quants.add(vector / 2 * 64).cast());
            let nibbles = if vector % 2 == 0 { bytes } else { _mm512_srli_epi16::<4>(bytes) };
            let mut values = _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
            if HIGH {
                let bits = _mm512_multishift_epi64_epi8(_mm512_loadu_si512(bits.as_ptr().cast()), high);
                // values | (bits & 16)
                values = _mm512_ternarylogic_epi32::<0xF8>(values, bits, _mm512_set1_epi8(16));
            }
            let sub = vector / 2 * 4 + vector % 2;
            let (low, high) = (sub as i32, sub as i32 + 2);
            let spread = _mm512_setr_epi32(low, low, low, low, low, low, low, low, high, high, high, high, high, high, high, high);
            for t in 0..T {
                let x = acts[t].quants.as_ptr().add(i * 256 + sub * 32);
                let first = _mm512_castsi256_si512(_mm256_loadu_si256(x.cast()));
                let x = _mm512_inserti64x4::<1>(first, _mm256_loadu_si256(x.add(64).cast()));
                let products = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), values, x));
                sums[t] = _mm512_fmadd_ps(products, _mm512_permutexvar_ps(spread, factors[t]), sums[t]);
            }
        }
    }
}

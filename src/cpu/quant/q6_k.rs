//! Q6_K: 256 six-bit quants in 16 sub-blocks of 16, each with a signed eight-bit scale, `(d * scale) * (q - 32)`.

use super::{Int8Format, Matvec, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q6_K;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q6_K, sub_len: 16, offset: 32, has_mins: false, unpack, matvecs: MATVECS };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(210).enumerate() {
            let d = f16_at(block, 208);
            for sub in 0..16 {
                scales[b * 16 + sub] = d * f32::from(block[192 + sub] as i8);
            }
            for half in 0..2 {
                let quants = &mut quants[b * 256 + half * 128..][..128];
                let (low, high) = (&block[half * 64..][..64], &block[128 + half * 32..][..32]);
                for i in 0..32 {
                    quants[i] = low[i] & 15 | (high[i] & 3) << 4;
                    quants[i + 32] = low[i + 32] & 15 | (high[i] >> 2 & 3) << 4;
                    quants[i + 64] = low[i] >> 4 | (high[i] >> 4 & 3) << 4;
                    quants[i + 96] = low[i + 32] >> 4 | (high[i] >> 6) << 4;
                }
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
const MATVECS: &[Matvec] = &[];
#[cfg(target_arch = "x86_64")]
const MATVECS: &[Matvec] =
    &[Matvec { isa: crate::cpu::isa::Isa::Avx512, order: super::LaneOrder::Linear, kernels: super::matvec::kernels!(avx512::multiply) }];

/// 64 values at a time: the nibbles of 64 low bytes, with the two high bits of each rotated into place out of 32 high bytes. Four lanes
/// make a sub-block.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use crate::cpu::quant::LanesRow;
    use crate::cpu::quant::matvec::{AHEAD, Streams, Sums};

    const BLOCK: usize = 210;

    /// From which bit of its group of eight each high byte is read, so that the bits of the value stand at 4 and 5: values 0-31 have
    /// theirs at 0 and 1 of the byte, values 32-63 at 2 and 3. Values 64-127 are read four bits further on.
    static HIGH_BITS: [[u8; 64]; 2] = {
        let mut bits = [[0; 64]; 2];
        let mut i = 0;
        while i < 64 {
            let at = (i % 8) * 8 + i / 32 * 2;
            bits[0][i] = ((at + 64 - 4) % 64) as u8;
            bits[1][i] = at as u8;
            i += 1;
        }
        bits
    };

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
    unsafe fn add_block<const T: usize>(sums: &mut [__m512; T], block: *const u8, acts: &[LanesRow<'_>; T], i: usize, bits: [__m512i; 2]) {
        let (nibble, high_mask) = (_mm512_set1_epi8(15), _mm512_set1_epi8(0x30));
        let spread = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        let pairs = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        // SAFETY: the caller has 210 bytes at `block`, and in the activations 256 quants, 64 start values and 8 scales of block `i`.
        unsafe {
            let d =
                _mm512_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(block.add(208).cast::<u16>().read_unaligned())))));
            let subs = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(block.add(192).cast())));
            let scales = _mm512_mul_ps(subs, d);
            let factors: [__m512; T] = std::array::from_fn(|t| {
                let act = _mm512_castps256_ps512(_mm256_loadu_ps(acts[t].scales.as_ptr().add(i * 8)));
                _mm512_mul_ps(scales, _mm512_permutexvar_ps(pairs, act))
            });
            for half in 0..2 {
                let low = _mm512_loadu_si512(block.add(half * 64).cast());
                let high = _mm512_broadcast_i64x4(_mm256_loadu_si256(block.add(128 + half * 32).cast()));
                for (part, &bits) in bits.iter().enumerate() {
                    let chunk = half * 2 + part;
                    let nibbles = if part == 0 { low } else { _mm512_srli_epi16::<4>(low) };
                    let nibbles = _mm512_and_si512(nibbles, nibble);
                    // nibbles | (high & mask)
                    let values = _mm512_ternarylogic_epi32::<0xF8>(nibbles, _mm512_multishift_epi64_epi8(bits, high), high_mask);
                    let index = _mm512_add_epi32(spread, _mm512_set1_epi32(chunk as i32 * 4));
                    for t in 0..T {
                        let products = _mm512_dpbusd_epi32(
                            _mm512_loadu_si512(acts[t].start.as_ptr().add(i * 64 + chunk * 16).cast()),
                            values,
                            _mm512_loadu_si512(acts[t].quants.as_ptr().add(i * 256 + chunk * 64).cast()),
                        );
                        sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_permutexvar_ps(index, factors[t]), sums[t]);
                    }
                }
            }
        }
    }

    /// As `matvec::Kernel`, of `S` weight rows and `T` rows of activations.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
    pub unsafe fn multiply<const S: usize, const T: usize>(rows: Streams, acts: &[LanesRow<'_>], out: &mut Sums) {
        let n_blocks = rows.row_bytes / BLOCK;
        assert!(acts.iter().all(|act| act.quants.len() >= n_blocks * 256));
        let acts: [LanesRow<'_>; T] = std::array::from_fn(|t| acts[t]);
        let mut sums = [[_mm512_setzero_ps(); T]; S];
        // SAFETY: the rows have so many blocks, and so do the activations, asserted above. The tables have 64 bytes each.
        unsafe {
            let bits = HIGH_BITS.each_ref().map(|b| _mm512_loadu_si512(b.as_ptr().cast()));
            for i in 0..n_blocks {
                for (s, sums) in sums.iter_mut().enumerate() {
                    let at = rows.at(s, i * BLOCK);
                    for line in 0..4 {
                        _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + line * 64).cast());
                    }
                    add_block(sums, at, &acts, i, bits);
                }
            }
        }
        for s in 0..S {
            for t in 0..T {
                out[s][t] = _mm512_reduce_add_ps(sums[s][t]);
            }
        }
    }
}

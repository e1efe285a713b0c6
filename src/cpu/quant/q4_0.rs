//! Q4_0: 32 four-bit quants with one scale, `d * (q - 8)`.

#[cfg(target_arch = "x86_64")]
use super::LaneOrder;
#[cfg(target_arch = "x86_64")]
use super::matvec::kernels;
use super::{Int8Format, Matvec, f16_at, nibbles_of_32};
#[cfg(target_arch = "x86_64")]
use crate::cpu::isa::Isa;
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q4_0;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q4_0, sub_len: 32, offset: 8, has_mins: false, unpack, matvecs: MATVECS };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(18).enumerate() {
            scales[b] = f16_at(block, 0);
            nibbles_of_32(&block[2..18], &mut quants[b * 32..][..32]);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
const MATVECS: &[Matvec] = &[];
#[cfg(target_arch = "x86_64")]
const MATVECS: &[Matvec] = &[
    Matvec { isa: Isa::Avx512, order: LaneOrder::Halves, kernels: kernels!(avx512::multiply) },
    Matvec { isa: Isa::Avx2, order: LaneOrder::Linear, kernels: kernels!(avx2::multiply) },
];

/// Four blocks (72 bytes) at a time: one byte permutation gathers their 64 quant bytes, so that the low nibbles meet the first halves of
/// the activations and the high ones the second halves, four lanes a block; one word permutation spreads their scales over those lanes.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use crate::cpu::quant::LanesRow;
    use crate::cpu::quant::matvec::{AHEAD, Streams, Sums};

    const BLOCK: usize = 18;
    const GROUP: usize = 4 * BLOCK;

    /// The source byte of each of the 64 quant bytes: below 64 in the bytes from 0 on, above in those from 8 on.
    static QUANT_BYTES: [u8; 64] = {
        let mut bytes = [0; 64];
        let mut i = 0;
        while i < 64 {
            let at = i / 16 * BLOCK + 2 + i % 16;
            bytes[i] = if at < 64 { at } else { at - 8 + 64 } as u8;
            i += 1;
        }
        bytes
    };
    /// The source word of each lane's scale.
    static SCALE_WORDS: [u16; 32] = {
        let mut words = [0; 32];
        let mut i = 0;
        while i < 16 {
            words[i] = (i / 4 * BLOCK / 2) as u16;
            i += 1;
        }
        words
    };

    /// Four blocks of activations.
    struct Group {
        low: __m512i,
        high: __m512i,
        start: __m512i,
        scales: __m512,
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
    unsafe fn add_group<const T: usize>(
        sums: &mut [__m512; T],
        bytes: *const u8,
        groups: &[Group; T],
        quant_bytes: __m512i,
        scale_words: __m512i,
    ) {
        // SAFETY: the caller has 72 bytes at `bytes`.
        let (first, last) = unsafe { (_mm512_loadu_si512(bytes.cast()), _mm512_loadu_si512(bytes.add(8).cast())) };
        let quants = _mm512_permutex2var_epi8(first, quant_bytes, last);
        let nibble = _mm512_set1_epi8(15);
        let (low, high) = (_mm512_and_si512(quants, nibble), _mm512_and_si512(_mm512_srli_epi16::<4>(quants), nibble));
        let scales = _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(scale_words, first)));
        for (sum, group) in sums.iter_mut().zip(groups) {
            let lanes = _mm512_dpbusd_epi32(group.start, low, group.low);
            let lanes = _mm512_dpbusd_epi32(lanes, high, group.high);
            *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(lanes), _mm512_mul_ps(scales, group.scales), *sum);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
    unsafe fn load_group(lanes: &LanesRow<'_>, i: usize) -> Group {
        // SAFETY: the caller made the lanes with group `i`: 128 quants, 16 start values and 4 scales.
        unsafe {
            let quants = lanes.quants.as_ptr().add(i * 128);
            let four = _mm_loadu_ps(lanes.scales.as_ptr().add(i * 4));
            Group {
                low: _mm512_loadu_si512(quants.cast()),
                high: _mm512_loadu_si512(quants.add(64).cast()),
                start: _mm512_loadu_si512(lanes.start.as_ptr().add(i * 16).cast()),
                scales: _mm512_permutexvar_ps(
                    _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
                    _mm512_castps128_ps512(four),
                ),
            }
        }
    }

    /// As `matvec::Kernel`, of `S` weight rows and `T` rows of activations.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
    pub unsafe fn multiply<const S: usize, const T: usize>(rows: Streams, acts: &[LanesRow<'_>], out: &mut Sums) {
        let (n_groups, rest) = (rows.row_bytes / GROUP, rows.row_bytes % GROUP);
        assert!(acts.iter().all(|act| act.quants.len() >= rows.row_bytes.div_ceil(GROUP) * 128));
        let acts: [LanesRow<'_>; T] = std::array::from_fn(|t| acts[t]);
        let mut sums = [[_mm512_setzero_ps(); T]; S];
        // SAFETY: whole groups lie inside of the rows, and the activations have as many groups, the last one padded; asserted above. The tables
        // have 64 bytes each.
        unsafe {
            let (quant_bytes, scale_words) =
                (_mm512_loadu_si512(QUANT_BYTES.as_ptr().cast()), _mm512_loadu_si512(SCALE_WORDS.as_ptr().cast()));
            for i in 0..n_groups {
                let groups: [Group; T] = std::array::from_fn(|t| load_group(&acts[t], i));
                for (s, sums) in sums.iter_mut().enumerate() {
                    let at = rows.at(s, i * GROUP);
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                    add_group(sums, at, &groups, quant_bytes, scale_words);
                }
            }
            if rest > 0 {
                let groups: [Group; T] = std::array::from_fn(|t| load_group(&acts[t], n_groups));
                for (s, sums) in sums.iter_mut().enumerate() {
                    // Absent blocks have a scale of zero.
                    let mut tail = [0u8; GROUP];
                    rows.at(s, n_groups * GROUP).copy_to_nonoverlapping(tail.as_mut_ptr(), rest);
                    add_group(sums, tail.as_ptr(), &groups, quant_bytes, scale_words);
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

/// A block at a time: low and high nibbles side by side meet the block's activations in order. Eight scales are widened together. The quants are
/// taken as unsigned; eight times the scaled sums of the activations are subtracted at the end.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use crate::cpu::quant::LanesRow;
    use crate::cpu::quant::matvec::{AHEAD, Streams, Sums};

    const BLOCK: usize = 18;
    /// Blocks whose scales are widened together.
    const GROUP: usize = 8;

    /// The sums of a weight row with `T` rows of activations: of its quants, and of its scales with the activations' sums.
    #[derive(Clone, Copy)]
    struct Totals<const T: usize> {
        quants: [__m256; T],
        offsets: [__m256; T],
    }

    /// Adds `n` blocks from `bytes` on, which are those from block `i` on of the row.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add_blocks<const T: usize>(totals: &mut Totals<T>, bytes: *const u8, n: usize, acts: &[LanesRow<'_>; T], i: usize) {
        // Without this the compiler reuses the activations that it loaded for the last weight row, and first copies all of them to the stack. One
        // row of activations costs it no copies, and the loop over its blocks is faster unrolled.
        let i = if T > 1 { black_box(i) } else { i };
        let mut sums = totals.quants;
        let mut halves = [0u16; GROUP];
        let mut factors = [[0.0f32; GROUP]; T];
        // SAFETY: the caller has `n` blocks at `bytes`, and in the lanes as many blocks from `i` on, 32 quants, a scale and a sum each.
        unsafe {
            let eight = |at: *const f32| {
                if n == GROUP {
                    return _mm256_loadu_ps(at);
                }
                let mut few = [0.0f32; GROUP];
                at.copy_to_nonoverlapping(few.as_mut_ptr(), n);
                _mm256_loadu_ps(few.as_ptr())
            };
            for (b, half) in halves.iter_mut().enumerate().take(n) {
                *half = bytes.add(b * BLOCK).cast::<u16>().read_unaligned();
            }
            let scales = _mm256_cvtph_ps(_mm_loadu_si128(halves.as_ptr().cast()));
            for t in 0..T {
                let products = _mm256_mul_ps(scales, eight(acts[t].scales.as_ptr().add(i)));
                _mm256_storeu_ps(factors[t].as_mut_ptr(), products);
                totals.offsets[t] = _mm256_fmadd_ps(scales, eight(acts[t].sums.as_ptr().add(i)), totals.offsets[t]);
            }
            // From memory a factor is spread by the load; in a register that takes two shuffles. A loop that is not unrolled keeps the sums there.
            let (factors, n) = (black_box(&factors), if T > 1 { black_box(n) } else { n });
            for b in 0..n {
                let packed = _mm_loadu_si128(bytes.add(b * BLOCK + 2).cast());
                let nibbles = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed), _mm256_set1_epi8(15));
                for t in 0..T {
                    let x = _mm256_loadu_si256(acts[t].quants.as_ptr().add((i + b) * 32).cast());
                    let products = _mm256_madd_epi16(_mm256_maddubs_epi16(nibbles, x), _mm256_set1_epi16(1));
                    let factor = _mm256_broadcast_ss(factors[t].get_unchecked(b));
                    sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), factor, sums[t]);
                }
            }
        }
        totals.quants = sums;
    }

    /// As `matvec::Kernel`, of `S` weight rows and `T` rows of activations.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub unsafe fn multiply<const S: usize, const T: usize>(rows: Streams, acts: &[LanesRow<'_>], out: &mut Sums) {
        let n_blocks = rows.row_bytes / BLOCK;
        let whole = n_blocks / GROUP * GROUP;
        assert!(acts.iter().all(|act| act.quants.len() >= n_blocks * 32 && act.scales.len() >= n_blocks && act.sums.len() >= n_blocks));
        let acts: [LanesRow<'_>; T] = std::array::from_fn(|t| acts[t]);
        let mut totals = [Totals { quants: [_mm256_setzero_ps(); T], offsets: [_mm256_setzero_ps(); T] }; S];
        for i in (0..whole).step_by(GROUP) {
            for (s, totals) in totals.iter_mut().enumerate() {
                // SAFETY: the rows have so many blocks, and so do the activations, asserted above.
                unsafe {
                    let at = rows.at(s, i * BLOCK);
                    for line in 0..3 {
                        _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + line * 64).cast());
                    }
                    add_blocks(totals, at, GROUP, &acts, i);
                }
            }
        }
        for s in 0..S {
            if whole < n_blocks {
                // SAFETY: as above, with the blocks that are left.
                unsafe { add_blocks(&mut totals[s], rows.at(s, whole * BLOCK), n_blocks - whole, &acts, whole) };
            }
            for t in 0..T {
                let mut lanes = [0.0f32; 8];
                let sum = _mm256_fnmadd_ps(totals[s].offsets[t], _mm256_set1_ps(8.0), totals[s].quants[t]);
                // SAFETY: eight values.
                unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
                let [a, b, c, d, e, f, g, h] = lanes;
                out[s][t] = ((a + e) + (c + g)) + ((b + f) + (d + h));
            }
        }
    }
}

//! Matrices of 32-bit words turned over, sixteen rows and columns at a time where the machine has the registers for it.

use super::isa::Isa;

/// Writes `rows`, `n` rows of which word `i` of row `r` lies at `r * stride + i`, to `out[i * out_stride + r]` for `i < width`.
pub(super) fn transpose(isa: Isa, rows: &[u32], n: usize, stride: usize, width: usize, out: &mut [u32], out_stride: usize) {
    let blocks = whole_blocks(isa, rows, n, stride, width, out, out_stride);
    for r in 0..n {
        let done = if r < blocks.0 { blocks.1 } else { 0 };
        for i in done..width {
            out[i * out_stride + r] = rows[r * stride + i];
        }
    }
}

/// Turns what comes in whole blocks; returns how many rows and columns of them that are.
#[cfg(target_arch = "x86_64")]
fn whole_blocks(isa: Isa, rows: &[u32], n: usize, stride: usize, width: usize, out: &mut [u32], out_stride: usize) -> (usize, usize) {
    if isa != Isa::Avx512 {
        return (0, 0);
    }
    let blocks = (n / 16 * 16, width / 16 * 16);
    for r in (0..blocks.0).step_by(16) {
        for i in (0..blocks.1).step_by(16) {
            // SAFETY: the level is AVX-512.
            unsafe { avx512::transpose_16(&rows[r * stride + i..], stride, &mut out[i * out_stride + r..], out_stride) };
        }
    }
    blocks
}

#[cfg(not(target_arch = "x86_64"))]
fn whole_blocks(_: Isa, _: &[u32], _: usize, _: usize, _: usize, _: &mut [u32], _: usize) -> (usize, usize) {
    (0, 0)
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    /// 16 rows of 16 words. Pairs of words change places, then pairs of pairs, within each quarter of a vector; then the quarters do twice.
    #[target_feature(enable = "avx512f")]
    pub fn transpose_16(rows: &[u32], stride: usize, out: &mut [u32], out_stride: usize) {
        assert!(rows.len() >= 15 * stride + 16 && out.len() >= 15 * out_stride + 16);
        // SAFETY: row r has 16 words from r * stride on, asserted above.
        let r: [__m512i; 16] = std::array::from_fn(|r| unsafe { _mm512_loadu_si512(rows.as_ptr().add(r * stride).cast()) });
        let pairs: [__m512i; 16] = std::array::from_fn(|i| {
            let (a, b) = (r[i / 2 * 2], r[i / 2 * 2 + 1]);
            if i % 2 == 0 { _mm512_unpacklo_epi32(a, b) } else { _mm512_unpackhi_epi32(a, b) }
        });
        let fours: [__m512i; 16] = std::array::from_fn(|i| {
            let (a, b) = (pairs[i / 4 * 4 + i % 4 / 2], pairs[i / 4 * 4 + i % 4 / 2 + 2]);
            if i % 2 == 0 { _mm512_unpacklo_epi64(a, b) } else { _mm512_unpackhi_epi64(a, b) }
        });
        for column in 0..4 {
            let [a, b, c, d] = [fours[column], fours[column + 4], fours[column + 8], fours[column + 12]];
            let (ab_even, ab_odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xDD>(a, b));
            let (cd_even, cd_odd) = (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xDD>(c, d));
            let quarters = [
                _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even),
                _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd),
                _mm512_shuffle_i32x4::<0xDD>(ab_even, cd_even),
                _mm512_shuffle_i32x4::<0xDD>(ab_odd, cd_odd),
            ];
            for (quarter, words) in quarters.into_iter().enumerate() {
                // SAFETY: row `quarter * 4 + column` of the output has 16 words, asserted above.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().add((quarter * 4 + column) * out_stride).cast(), words) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_finds_its_place() {
        for isa in Isa::available() {
            for (n, width) in [(1, 1), (3, 5), (16, 16), (17, 33), (32, 64), (31, 128), (5, 40)] {
                let (stride, out_stride) = (width + 3, n + 1);
                let rows: Vec<u32> = (0..(n * stride) as u32).collect();
                let mut out = vec![u32::MAX; width * out_stride];
                transpose(isa, &rows, n, stride, width, &mut out, out_stride);
                for r in 0..n {
                    for i in 0..width {
                        assert_eq!(out[i * out_stride + r], rows[r * stride + i], "{n}x{width} at {r}, {i} on {}", isa.name());
                    }
                }
            }
        }
    }
}

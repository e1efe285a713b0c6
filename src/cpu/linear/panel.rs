//! The integer product for many rows of activations: 32 weight rows are unpacked, a piece of 512 values at a time, into a panel in which four
//! consecutive values of each row lie side by side, and the panel is met with every row of activations while it is in the cache.
//!
//! In a vector each 32-bit lane is a weight row, so sums need no adding across lanes, and one scale of the activations serves all lanes.

use std::arch::x86_64::*;

use crate::cpu::isa::Isa;
use crate::cpu::quant::{ACT_BLOCK, Int8Format};
use crate::cpu::transpose::transpose;

use super::Tile;
use super::activations::Activations;
use super::rows::WeightRows;
use super::scratch::Scratch;

/// Weight rows of a panel.
const ROWS: usize = 32;
/// Values of a row in a panel; with 32 rows it fills half of a first-level cache.
const DEPTH: usize = 512;

/// The integer product of a piece of a panel with rows of activations.
struct Piece<'a> {
    /// `[len / 4][ROWS]` words of four quants.
    panel: &'a [u32],
    /// `[len / sub][ROWS]`
    scales: &'a [f32],
    mins: &'a [f32],
    /// First value and number of values.
    start: usize,
    len: usize,
    format: &'a Int8Format,
}

/// Rows `first .. first + n` against every row of activations. `y` holds the sums so far: they are written from the first piece on.
///
/// # Panics
/// When `isa` is neither AVX2 nor AVX-512.
pub(super) fn multiply(
    isa: Isa,
    format: &Int8Format,
    rows: &WeightRows<'_>,
    acts: &Activations,
    first: usize,
    n: usize,
    scratch: &mut Scratch,
    y: &mut Tile<'_>,
) {
    let k = rows.row_len;
    let depth = DEPTH.min(k);
    let max_subs = depth / format.sub_len;
    scratch.quants.resize(ROWS * depth / 4, 0);
    scratch.scales.resize(max_subs, 0.0);
    scratch.mins.resize(max_subs, 0.0);
    scratch.panel.resize(ROWS * depth / 4, 0);
    scratch.panel_scales.resize(ROWS * max_subs, 0.0);
    scratch.panel_mins.resize(ROWS * max_subs, 0.0);
    for r in (0..n).step_by(ROWS) {
        let count = ROWS.min(n - r);
        for start in (0..k).step_by(depth) {
            let len = depth.min(k - start);
            pack(isa, format, rows, first + r, count, start, len, scratch);
            let subs = len / format.sub_len;
            let piece = Piece {
                panel: &scratch.panel[..ROWS * len / 4],
                scales: &scratch.panel_scales[..ROWS * subs],
                mins: &scratch.panel_mins[..ROWS * subs],
                start,
                len,
                format,
            };
            // SAFETY: the level is one that the machine has.
            match isa {
                Isa::Avx512 => unsafe { add_piece_avx512(&piece, acts, r, count, y) },
                Isa::Avx2 => unsafe { add_piece_avx2(&piece, acts, r, count, y) },
                Isa::Portable => unreachable!("panels are made for AVX2 and AVX-512"),
            }
        }
    }
}

/// Unpacks values `start .. start + len` of `count` rows; rows past them are zero.
fn pack(isa: Isa, format: &Int8Format, rows: &WeightRows<'_>, first: usize, count: usize, start: usize, len: usize, scratch: &mut Scratch) {
    let quant = format.quant;
    let subs = len / format.sub_len;
    let Scratch { quants, scales, mins, panel, panel_scales, panel_mins, .. } = scratch;
    if count < ROWS {
        quants.fill(0);
        panel_scales.fill(0.0);
        panel_mins.fill(0.0);
    }
    let (from, bytes_len) = (start / quant.block_len * quant.block_bytes, len / quant.block_len * quant.block_bytes);
    rows.for_each_run(first, count, |offset, bytes, _| {
        for (i, row) in bytes.chunks_exact(rows.row_bytes).enumerate() {
            let r = offset + i;
            let unpacked = &mut bytemuck::cast_slice_mut(quants)[r * len..][..len];
            (format.unpack)(isa, &row[from..from + bytes_len], unpacked, &mut scales[..subs], &mut mins[..subs]);
            for (panel, &scale) in panel_scales[..subs * ROWS].chunks_exact_mut(ROWS).zip(&scales[..subs]) {
                panel[r] = scale;
            }
            if format.has_mins {
                for (panel, &min) in panel_mins[..subs * ROWS].chunks_exact_mut(ROWS).zip(&mins[..subs]) {
                    panel[r] = min;
                }
            }
        }
    });
    transpose(isa, &quants[..ROWS * len / 4], ROWS, len / 4, len / 4, panel, ROWS);
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
fn add_piece_avx512(piece: &Piece<'_>, acts: &Activations, r: usize, count: usize, y: &mut Tile<'_>) {
    let n = acts.n_rows();
    let mut t = 0;
    while t < n {
        let step = (n - t).min(4);
        match (step, piece.format.sub_len, piece.format.has_mins) {
            (4, 32, false) => add_tokens_avx512::<4, 32, false>(piece, acts, t, r, count, y),
            (4, 32, true) => add_tokens_avx512::<4, 32, true>(piece, acts, t, r, count, y),
            (4, _, false) => add_tokens_avx512::<4, 16, false>(piece, acts, t, r, count, y),
            (4, _, true) => add_tokens_avx512::<4, 16, true>(piece, acts, t, r, count, y),
            // The last tokens come one by one.
            (_, 32, false) => (t..n).for_each(|t| add_tokens_avx512::<1, 32, false>(piece, acts, t, r, count, y)),
            (_, 32, true) => (t..n).for_each(|t| add_tokens_avx512::<1, 32, true>(piece, acts, t, r, count, y)),
            (_, _, false) => (t..n).for_each(|t| add_tokens_avx512::<1, 16, false>(piece, acts, t, r, count, y)),
            (_, _, true) => (t..n).for_each(|t| add_tokens_avx512::<1, 16, true>(piece, acts, t, r, count, y)),
        }
        t += step;
    }
}

/// `T` rows of activations from `t` on: 2 · T vectors of 16 weight rows each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
fn add_tokens_avx512<const T: usize, const SUB: usize, const MINS: bool>(
    piece: &Piece<'_>,
    acts: &Activations,
    t: usize,
    r: usize,
    count: usize,
    y: &mut Tile<'_>,
) {
    let subs = piece.len / SUB;
    let rows: [_; T] = std::array::from_fn(|i| acts.row(t + i));
    // Pointers, because sixteen slices with their lengths do not fit the registers.
    let quants: [*const i8; T] = std::array::from_fn(|i| rows[i].quants[piece.start..piece.start + piece.len].as_ptr());
    let starts: [*const i32; T] = std::array::from_fn(|i| rows[i].starts[piece.start / SUB..][..subs].as_ptr());
    let sums: [*const f32; T] = std::array::from_fn(|i| rows[i].sums[piece.start / SUB..][..subs].as_ptr());
    let scales: [*const f32; T] = std::array::from_fn(|i| rows[i].scales[piece.start / ACT_BLOCK..][..piece.len / ACT_BLOCK].as_ptr());
    // The next tokens' activations, which lie too far from these for the processor to fetch them by itself.
    let next = acts.row((t + T).min(acts.n_rows() - T)).quants[piece.start..].as_ptr();
    let stride = acts.row(0).quants.len();
    assert!(piece.panel.len() >= piece.len / 4 * ROWS && piece.scales.len() >= subs * ROWS && piece.mins.len() >= subs * ROWS);
    let mut totals = [[_mm512_setzero_ps(); 2]; T];
    for s in 0..subs {
        // SAFETY: the panel has 32 words for each of the piece's len / 4 and 32 scales and minima a sub-block, the activations len quants and a
        // start, a sum and a scale for each block; asserted above.
        unsafe {
            let mut products: [[__m512i; 2]; T] = std::array::from_fn(|i| [_mm512_set1_epi32(*starts[i].add(s)); 2]);
            if (s * SUB).is_multiple_of(64) {
                for i in 0..T {
                    _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(i * stride + s * SUB).cast());
                }
            }
            let panel = piece.panel.as_ptr().add(s * (SUB / 4) * ROWS);
            for word in 0..SUB / 4 {
                let at = panel.add(word * ROWS);
                let (w0, w1) = (_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(16).cast()));
                for i in 0..T {
                    let x = _mm512_set1_epi32(quants[i].add(s * SUB + word * 4).cast::<i32>().read_unaligned());
                    products[i][0] = _mm512_dpbusd_epi32(products[i][0], w0, x);
                    products[i][1] = _mm512_dpbusd_epi32(products[i][1], w1, x);
                }
            }
            let (scale, min) = (piece.scales.as_ptr().add(s * ROWS), piece.mins.as_ptr().add(s * ROWS));
            let scale = [_mm512_loadu_ps(scale), _mm512_loadu_ps(scale.add(16))];
            for i in 0..T {
                let factor = _mm512_set1_ps(*scales[i].add(s * SUB / ACT_BLOCK));
                for half in 0..2 {
                    let product = _mm512_cvtepi32_ps(products[i][half]);
                    totals[i][half] = _mm512_fmadd_ps(product, _mm512_mul_ps(scale[half], factor), totals[i][half]);
                }
            }
            if MINS {
                let min = [_mm512_loadu_ps(min), _mm512_loadu_ps(min.add(16))];
                for i in 0..T {
                    let sum = _mm512_set1_ps(*sums[i].add(s));
                    for half in 0..2 {
                        totals[i][half] = _mm512_fnmadd_ps(min[half], sum, totals[i][half]);
                    }
                }
            }
        }
    }
    for (i, totals) in totals.iter().enumerate() {
        let row = &mut y.row(t + i)[r..r + count];
        if count < ROWS || piece.start == 0 {
            let mut values = [0.0f32; ROWS];
            // SAFETY: 32 values.
            unsafe {
                _mm512_storeu_ps(values.as_mut_ptr(), totals[0]);
                _mm512_storeu_ps(values.as_mut_ptr().add(16), totals[1]);
            }
            y.add(t + i, r, &values[..count], piece.start == 0);
            continue;
        }
        for (half, &total) in totals.iter().enumerate() {
            // SAFETY: the row of sums has 32 values here.
            unsafe {
                let at = row.as_mut_ptr().add(half * 16);
                _mm512_storeu_ps(at, _mm512_add_ps(_mm512_loadu_ps(at), total));
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add_piece_avx2(piece: &Piece<'_>, acts: &Activations, r: usize, count: usize, y: &mut Tile<'_>) {
    let n = acts.n_rows();
    for t in (0..n).step_by(2) {
        for part in (0..count).step_by(16) {
            let values = count - part;
            match (n - t, piece.format.offset == 128) {
                (1, false) => add_tokens_avx2::<1, false>(piece, acts, t, r, part, values.min(16), y),
                (1, true) => add_tokens_avx2::<1, true>(piece, acts, t, r, part, values.min(16), y),
                (_, false) => add_tokens_avx2::<2, false>(piece, acts, t, r, part, values.min(16), y),
                (_, true) => add_tokens_avx2::<2, true>(piece, acts, t, r, part, values.min(16), y),
            }
        }
    }
}

/// `T` rows of activations from `t` on against the 16 rows of the panel from `part` on. `SIGNED`: the quants are signed bytes with the top bit
/// turned over; products of unsigned bytes beyond 128 would not fit the 16 bits that AVX2 adds them in.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_tokens_avx2<const T: usize, const SIGNED: bool>(
    piece: &Piece<'_>,
    acts: &Activations,
    t: usize,
    r: usize,
    part: usize,
    count: usize,
    y: &mut Tile<'_>,
) {
    let sub_len = piece.format.sub_len;
    let subs = piece.len / sub_len;
    let first_sub = piece.start / sub_len;
    let rows: [_; T] = std::array::from_fn(|i| acts.row(t + i));
    let quants: [&[i8]; T] = std::array::from_fn(|i| &rows[i].quants[piece.start..piece.start + piece.len]);
    let starts: [&[i32]; T] = std::array::from_fn(|i| &rows[i].starts[first_sub..first_sub + subs]);
    let sums: [&[f32]; T] = std::array::from_fn(|i| &rows[i].sums[first_sub..first_sub + subs]);
    let scales: [&[f32]; T] = std::array::from_fn(|i| &rows[i].scales[piece.start / ACT_BLOCK..]);
    assert!(
        piece.panel.len() >= piece.len / 4 * ROWS && piece.scales.len() >= subs * ROWS && piece.mins.len() >= subs * ROWS && part <= 16
    );
    let (ones, top) = (_mm256_set1_epi16(1), _mm256_set1_epi8(i8::MIN));
    let mut totals = [[_mm256_setzero_ps(); 2]; T];
    for s in 0..subs {
        let start = |i: usize| if SIGNED { 0 } else { starts[i][s] };
        let mut products: [[__m256i; 2]; T] = std::array::from_fn(|i| [_mm256_set1_epi32(start(i)); 2]);
        for word in s * sub_len / 4..(s + 1) * sub_len / 4 {
            // SAFETY: the panel has 32 words for each of the piece's len / 4, and each row of activations len bytes; asserted above.
            unsafe {
                let at = piece.panel.as_ptr().add(word * ROWS + part);
                let w = [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(8).cast())];
                for i in 0..T {
                    let x = _mm256_set1_epi32(quants[i].as_ptr().add(word * 4).cast::<i32>().read_unaligned());
                    for half in 0..2 {
                        let pairs = if SIGNED {
                            let signed = _mm256_xor_si256(w[half], top);
                            _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed))
                        } else {
                            _mm256_maddubs_epi16(w[half], x)
                        };
                        products[i][half] = _mm256_add_epi32(products[i][half], _mm256_madd_epi16(pairs, ones));
                    }
                }
            }
        }
        for i in 0..T {
            let act_scale = scales[i][s * sub_len / ACT_BLOCK];
            for half in 0..2 {
                // SAFETY: 32 scales and minima a sub-block, asserted above.
                let (scale, min) = unsafe {
                    let at = s * ROWS + part + half * 8;
                    (_mm256_loadu_ps(piece.scales.as_ptr().add(at)), _mm256_loadu_ps(piece.mins.as_ptr().add(at)))
                };
                let factor = _mm256_mul_ps(scale, _mm256_set1_ps(act_scale));
                totals[i][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[i][half]), factor, totals[i][half]);
                if piece.format.has_mins {
                    totals[i][half] = _mm256_fnmadd_ps(min, _mm256_set1_ps(sums[i][s]), totals[i][half]);
                }
            }
        }
    }
    for (i, totals) in totals.iter().enumerate() {
        let mut values = [0.0f32; 16];
        // SAFETY: 16 values.
        unsafe {
            _mm256_storeu_ps(values.as_mut_ptr(), totals[0]);
            _mm256_storeu_ps(values.as_mut_ptr().add(8), totals[1]);
        }
        y.add(t + i, r + part, &values[..count], piece.start == 0);
    }
}

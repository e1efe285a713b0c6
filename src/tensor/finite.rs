//! The search for inf and NaN in a weight's bytes, at the speed of reading them.

use super::DType;
use super::quant::{Quant, Scales};

/// Blocks looked at between two tests for a find: a branch a batch, not a block.
const BATCH: usize = 256;

/// The index of the first block of `bytes` with an inf or a NaN, or `None` when all its values are finite. `bytes` holds
/// whole blocks as they lie in a file; plain numbers are blocks of one. Only the scales of a block format are read: its
/// quants are integers, and no product of a finite f16 scale with them leaves f32.
pub fn first_nonfinite(dtype: DType, bytes: &[u8]) -> Option<usize> {
    match dtype {
        DType::F32 => first_number(bytes, |b| u32::from_le_bytes(b) & 0x7fff_ffff >= 0x7f80_0000),
        DType::F16 => first_number(bytes, |b| u16::from_le_bytes(b) & 0x7fff >= 0x7c00),
        DType::BF16 => first_number(bytes, |b| u16::from_le_bytes(b) & 0x7fff >= 0x7f80),
        DType::I32 | DType::Bool => None,
        DType::Quant(quant) => match quant.scales {
            Scales::F16 { offset, count: 1 } => first_f16_scale::<1>(quant, offset, bytes),
            Scales::F16 { offset, count: 2 } => first_f16_scale::<2>(quant, offset, bytes),
            Scales::F16 { offset, count } => (0..count).filter_map(|i| first_f16_scale::<1>(quant, offset + 2 * i, bytes)).min(),
            Scales::E8M0 { offset } => first_e8m0(quant, offset, bytes),
        },
    }
}

/// The first number of `SIZE` bytes that is not finite. The size is known to the compiler and the batch's answers are added
/// up, which together become vector compares.
fn first_number<const SIZE: usize>(bytes: &[u8], nonfinite: impl Fn([u8; SIZE]) -> bool) -> Option<usize> {
    let (numbers, _) = bytes.as_chunks::<SIZE>();
    let batch = numbers.chunks(BATCH).position(|batch| batch.iter().map(|&b| u16::from(nonfinite(b))).sum::<u16>() > 0)?;
    numbers[batch * BATCH..].iter().position(|&b| nonfinite(b)).map(|i| batch * BATCH + i)
}

/// The first block whose scales, as integers without their signs, reach the exponent of inf. Both scales of a format with two
/// lie in one cache line, so they are read in one pass.
fn first_f16_scale<const COUNT: usize>(quant: Quant, offset: usize, bytes: &[u8]) -> Option<usize> {
    let magnitude =
        |b: &[u8]| b[offset..offset + 2 * COUNT].chunks_exact(2).fold(0, |m, f| m.max(u16::from_le_bytes([f[0], f[1]]) & 0x7fff));
    let size = quant.block_bytes;
    let largest = |batch: &[u8]| batch.chunks_exact(size).fold(0, |m, b| m.max(magnitude(b)));
    let batch = bytes.chunks(BATCH * size).position(|batch| largest(batch) >= 0x7c00)?;
    bytes[batch * BATCH * size..].chunks_exact(size).position(|b| magnitude(b) >= 0x7c00).map(|i| batch * BATCH + i)
}

/// An exponent byte of 255 is NaN. Those just below it overflow f32 with the larger quants alone, so such blocks, which no
/// real file has, are expanded.
fn first_e8m0(quant: Quant, offset: usize, bytes: &[u8]) -> Option<usize> {
    let mut values = vec![0.0; quant.block_len];
    bytes.chunks_exact(quant.block_bytes).position(|block| {
        block[offset] == u8::MAX
            || block[offset] > 250 && {
                (quant.dequantize)(block, &mut values);
                values.iter().any(|v| !v.is_finite())
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::quant::FORMATS;

    fn types() -> Vec<DType> {
        let mut types = vec![DType::F32, DType::F16, DType::BF16];
        types.extend(FORMATS.iter().map(|f| DType::Quant(Quant(f))));
        types
    }

    /// Patterns of inf, -inf and NaN in the last scale field of a block, so that both fields of two-scale formats are seen.
    fn spoil(dtype: DType, block: &mut [u8], pattern: usize) {
        let f16 = [0x7c00u16, 0xfc00, 0x7e01][pattern].to_le_bytes();
        match dtype {
            DType::F32 => block.copy_from_slice(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN][pattern].to_le_bytes()),
            DType::BF16 => block.copy_from_slice(&[0x7f80u16, 0xff80, 0x7fc0][pattern].to_le_bytes()),
            DType::F16 => block.copy_from_slice(&f16),
            DType::Quant(q) => match q.scales {
                Scales::F16 { offset, count } => block[offset + 2 * (count - 1)..][..2].copy_from_slice(&f16),
                Scales::E8M0 { offset } => block[offset] = 255,
            },
            DType::I32 | DType::Bool => unreachable!("integers hold no inf"),
        }
    }

    #[test]
    fn finds_the_first_of_each_kind_wherever_it_lies() {
        for dtype in types() {
            let size = dtype.block_bytes();
            for n in [1, 2, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 7] {
                let clean = vec![0x3a; n * size];
                assert_eq!(first_nonfinite(dtype, &clean), None, "{dtype} {n}");
                for at in [0, n / 2, n - 1] {
                    for pattern in 0..3 {
                        let mut bytes = clean.clone();
                        spoil(dtype, &mut bytes[at * size..][..size], pattern);
                        spoil(dtype, &mut bytes[(n - 1) * size..][..size], pattern);
                        assert_eq!(first_nonfinite(dtype, &bytes), Some(at), "{dtype} block {at} of {n}, pattern {pattern}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_largest_finite_values_pass() {
        assert_eq!(first_nonfinite(DType::F32, &f32::MAX.to_le_bytes()), None);
        assert_eq!(first_nonfinite(DType::F16, &0xfbffu16.to_le_bytes()), None);
        assert_eq!(first_nonfinite(DType::BF16, &0xff7fu16.to_le_bytes()), None);
        let mxfp4 = Quant(&crate::tensor::quant::MXFP4);
        let mut block = [0x11; 17];
        block[0] = 254;
        assert_eq!(first_nonfinite(DType::Quant(mxfp4), &block), None, "small quants keep 2^126 within f32");
        block[16] = 0x71;
        assert_eq!(first_nonfinite(DType::Quant(mxfp4), &block), Some(0), "12 * 2^126 is beyond f32");
    }
}

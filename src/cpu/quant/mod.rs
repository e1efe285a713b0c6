//! Block formats as the integer kernels take them apart: unsigned quants, and a scale (and a minimum) for each sub-block.
//!
//! A format is a static [`Int8Format`] in a file of its own. A format without one is widened to f32 instead (`linear::float`).

use crate::tensor::QuantFormat;

use super::isa::Isa;

pub(super) use matvec::{LaneOrder, LanesRow, Matvec};

mod iq4_nl;
mod iq4_xs;
mod matvec;
mod mxfp4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
#[cfg(target_arch = "x86_64")]
mod sub_scaled_avx512;

/// The formats that have an integer dot product.
static FORMATS: &[&Int8Format] = &[
    &q4_0::FORMAT,
    &q4_1::FORMAT,
    &q5_0::FORMAT,
    &q5_1::FORMAT,
    &q8_0::FORMAT,
    &q2_k::FORMAT,
    &q3_k::FORMAT,
    &q4_k::FORMAT,
    &q5_k::FORMAT,
    &q6_k::FORMAT,
    &iq4_nl::FORMAT,
    &iq4_xs::FORMAT,
    &mxfp4::FORMAT,
];

/// Values that share one scale of the activations.
pub(super) const ACT_BLOCK: usize = 32;

/// How a format's blocks turn into integers: the value of element i in sub-block s is `scales[s] · (quants[i] - offset) - mins[s]`.
pub(super) struct Int8Format {
    pub quant: &'static QuantFormat,
    /// Values that share one scale: 16 or 32.
    pub sub_len: usize,
    /// Subtracted from each quant; 128 means that `quants` are signed bytes with the top bit turned over.
    pub offset: i32,
    pub has_mins: bool,
    pub unpack: Unpack,
    /// Products of rows with a few rows of activations straight from the file's layout, at most one a level.
    pub matvecs: &'static [Matvec],
}

/// Takes whole blocks apart: `quants` one byte a value, `scales` and (where the format has them) `mins` one a sub-block.
pub(super) type Unpack = fn(isa: Isa, blocks: &[u8], quants: &mut [u8], scales: &mut [f32], mins: &mut [f32]);

/// The integer form of a format, or `None` when it is widened to f32.
pub(super) fn int8_format(quant: &QuantFormat) -> Option<&'static Int8Format> {
    FORMATS.iter().copied().find(|f| f.quant.name == quant.name)
}

/// The f16 at byte `offset` of a block.
#[inline(always)]
fn f16_at(block: &[u8], offset: usize) -> f32 {
    super::vector::widen_f16(u16::from_le_bytes([block[offset], block[offset + 1]]))
}

/// Unpacks 16 bytes of nibbles as the formats of 32 values store them: low nibbles first, then high ones.
#[inline(always)]
fn nibbles_of_32(bytes: &[u8], quants: &mut [u8]) {
    let (low, high) = quants.split_at_mut(16);
    for i in 0..16 {
        low[i] = bytes[i] & 15;
        high[i] = bytes[i] >> 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::testing::{Lcg, random_blocks};
    use crate::tensor::{Quant, quant};

    #[test]
    fn every_format_unpacks_to_the_values_it_stands_for() {
        for format in quant::FORMATS {
            let int8 = int8_format(format).unwrap_or_else(|| panic!("{} has no integer form", format.name));
            assert_eq!(int8.quant.name, format.name);
            for n_blocks in [1, 2, 3, 11] {
                let blocks = random_blocks(Quant(format), n_blocks, &mut Lcg(7));
                let len = n_blocks * format.block_len;
                let mut exact = vec![0.0; len];
                Quant(format).dequantize_rows(&blocks, &mut exact);
                for isa in Isa::available() {
                    let (mut quants, mut scales, mut mins) = (vec![0; len], vec![0.0; len / int8.sub_len], vec![0.0; len / int8.sub_len]);
                    (int8.unpack)(isa, &blocks, &mut quants, &mut scales, &mut mins);
                    for i in 0..len {
                        let sub = i / int8.sub_len;
                        let value = scales[sub] * (i32::from(quants[i]) - int8.offset) as f32 - mins[sub];
                        assert_eq!(value, exact[i], "{} element {i} of {n_blocks} blocks on {}", format.name, isa.name());
                    }
                    assert!(int8.has_mins || mins.iter().all(|&m| m == 0.0), "{}", format.name);
                }
            }
        }
    }
}

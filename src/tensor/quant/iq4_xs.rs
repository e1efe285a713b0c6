//! IQ4_XS: 256 four-bit indices into the table of IQ4_NL, in 8 sub-blocks of 32 with a six-bit scale each.
//! `value = (d * (scale - 32)) * TABLE[q]`. Source: ggml `block_iq4_xs`.

use super::iq4_nl::IQ4_VALUES;
use super::{QuantFormat, Scales, f16_at};

/// `d: f16`, `u16` with the high two bits of the eight scales, 4 bytes with their low four bits, then 16 bytes a
/// sub-block in the order of IQ4_NL.
pub static IQ4_XS: QuantFormat = QuantFormat {
    name: "iq4_xs",
    ggml_type: 23,
    block_len: 256,
    block_bytes: 136,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 0, count: 1 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (sub, values) in out[..256].chunks_exact_mut(32).enumerate() {
        let low = block[4 + sub / 2] >> (sub % 2 * 4) & 15;
        let scale = low | ((high >> (sub * 2) & 3) as u8) << 4;
        let scale = d * (f32::from(scale) - 32.0);
        for (i, &byte) in block[8 + sub * 16..][..16].iter().enumerate() {
            values[i] = scale * f32::from(IQ4_VALUES[usize::from(byte & 15)]);
            values[i + 16] = scale * f32::from(IQ4_VALUES[usize::from(byte >> 4)]);
        }
    }
}

//! Q4_K: 256 four-bit quants in 8 sub-blocks of 32, each with a six-bit scale and a six-bit minimum.
//! `value = (d * scale) * q - (dmin * min)`. Source: ggml `block_q4_K`.

use super::{QuantFormat, Scales, f16_at};

/// `d: f16, dmin: f16`, 12 bytes of packed scales and minima, 128 bytes of quants. Each group of 64 values has 32 quant
/// bytes; byte `l` holds value `l` in its low and value `l + 32` in its high nibble.
pub static Q4_K: QuantFormat = QuantFormat {
    name: "q4_k",
    ggml_type: 12,
    block_len: 256,
    block_bytes: 144,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 0, count: 2 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    for (sub, values) in out[..256].chunks_exact_mut(32).enumerate() {
        let (scale, min) = sub_scale_min(&block[4..16], sub);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let quants = &block[16 + sub / 2 * 32..][..32];
        let shift = sub % 2 * 4;
        for (value, &byte) in values.iter_mut().zip(quants) {
            *value = scale * f32::from(byte >> shift & 15) - min;
        }
    }
}

/// The six-bit scale and minimum of sub-block `sub`, as Q4_K and Q5_K pack eight of each into 12 bytes: those of
/// sub-blocks 0-3 are the low six bits of bytes 0-3 and 4-7; those of 4-7 have their low four bits in the nibbles of
/// bytes 8-11 and their high two in the top bits of bytes 0-3 and 4-7.
pub(super) fn sub_scale_min(packed: &[u8], sub: usize) -> (u8, u8) {
    if sub < 4 {
        return (packed[sub] & 63, packed[sub + 4] & 63);
    }
    let low = packed[sub + 4];
    (low & 15 | packed[sub - 4] >> 6 << 4, low >> 4 | packed[sub] >> 6 << 4)
}

//! Q2_K: 256 two-bit quants in 16 sub-blocks of 16, each with a four-bit scale and a four-bit minimum.
//! `value = (d * scale) * q - (dmin * min)`. Source: ggml `block_q2_K`.

use super::{QuantFormat, Scales, f16_at};

/// 16 bytes of sub-block scale (low nibble) and minimum (high nibble), 64 bytes of quants, `d: f16, dmin: f16`.
/// Each half of 128 values has 32 quant bytes; byte `l` holds values `l`, `l + 32`, `l + 64`, `l + 96` from its low bits up.
pub static Q2_K: QuantFormat = QuantFormat {
    name: "q2_k",
    ggml_type: 10,
    block_len: 256,
    block_bytes: 84,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 80, count: 2 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
    for (sub, values) in out[..256].chunks_exact_mut(16).enumerate() {
        let scale = d * f32::from(block[sub] & 15);
        let min = dmin * f32::from(block[sub] >> 4);
        let quants = &block[16 + sub / 8 * 32 + sub % 2 * 16..][..16];
        let shift = sub % 8 / 2 * 2;
        for (value, &byte) in values.iter_mut().zip(quants) {
            *value = scale * f32::from(byte >> shift & 3) - min;
        }
    }
}

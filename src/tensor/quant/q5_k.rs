//! Q5_K: 256 five-bit quants in 8 sub-blocks of 32, each with a six-bit scale and a six-bit minimum.
//! `value = (d * scale) * q - (dmin * min)`. Source: ggml `block_q5_K`.

use super::q4_k::sub_scale_min;
use super::{QuantFormat, Scales, f16_at};

/// `d: f16, dmin: f16`, 12 bytes of scales and minima as in Q4_K, 32 bytes of high bits, 128 bytes of low bits in the
/// order of Q4_K. Bit 4 of the value `32 * g + l` is bit `g` of high byte `l`.
pub static Q5_K: QuantFormat = QuantFormat {
    name: "q5_k",
    ggml_type: 13,
    block_len: 256,
    block_bytes: 176,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 0, count: 2 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    for (sub, values) in out[..256].chunks_exact_mut(32).enumerate() {
        let (scale, min) = sub_scale_min(&block[4..16], sub);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let low = &block[48 + sub / 2 * 32..][..32];
        let shift = sub % 2 * 4;
        for ((value, &low), &high) in values.iter_mut().zip(low).zip(&block[16..48]) {
            let quant = low >> shift & 15 | (high >> sub & 1) << 4;
            *value = scale * f32::from(quant) - min;
        }
    }
}

//! Q3_K: 256 three-bit quants in 16 sub-blocks of 16, each with a six-bit scale. `value = (d * (scale - 32)) * (q - 4)`.
//! Source: ggml `block_q3_K`.

use super::{QuantFormat, Scales, f16_at};

/// 32 bytes of high bits, 64 bytes of low bits in the order of Q2_K, 12 bytes of packed scales, `d: f16`. Bit 2 of the
/// value `32 * g + l` is bit `g` of high byte `l`.
pub static Q3_K: QuantFormat = QuantFormat {
    name: "q3_k",
    ggml_type: 11,
    block_len: 256,
    block_bytes: 110,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 108, count: 1 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 108);
    for (sub, values) in out[..256].chunks_exact_mut(16).enumerate() {
        let scale = d * (f32::from(sub_scale(&block[96..108], sub)) - 32.0);
        let high = &block[sub % 2 * 16..][..16];
        let low = &block[32 + sub / 8 * 32 + sub % 2 * 16..][..16];
        let shift = sub % 8 / 2 * 2;
        for ((value, &low), &high) in values.iter_mut().zip(low).zip(high) {
            let quant = low >> shift & 3 | (high >> (sub / 2) & 1) << 2;
            *value = scale * (f32::from(quant) - 4.0);
        }
    }
}

/// The six-bit scale of sub-block `sub`: its low four bits are nibbles of bytes 0-7, its high two bits lie in bytes 8-11.
fn sub_scale(packed: &[u8], sub: usize) -> u8 {
    let low = packed[sub % 8] >> (sub / 8 * 4) & 15;
    let high = packed[8 + sub % 4] >> (sub / 4 * 2) & 3;
    low | high << 4
}

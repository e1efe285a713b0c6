//! Q6_K: 256 six-bit quants in 16 sub-blocks of 16, each with a signed eight-bit scale. `value = (d * scale) * (q - 32)`.
//! Source: ggml `block_q6_K`.

use super::{QuantFormat, Scales, f16_at};

/// 128 bytes of low bits, 64 bytes of high bits, 16 signed sub-block scales, `d: f16`. In each half of 128 values, the
/// groups of 32 values 0 and 2 have the low and high nibbles of the half's first 32 low bytes, groups 1 and 3 those of its
/// second 32; the high two bits of group `g`, value `l` are bits `2g` of the half's high byte `l`.
pub static Q6_K: QuantFormat = QuantFormat {
    name: "q6_k",
    ggml_type: 14,
    block_len: 256,
    block_bytes: 210,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 208, count: 1 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 208);
    for (sub, values) in out[..256].chunks_exact_mut(16).enumerate() {
        // The product with the sub-scale is exact; taking the quant first would round twice.
        let scale = d * f32::from(block[192 + sub] as i8);
        let (half, group, start) = (sub / 8, sub % 8 / 2, sub % 2 * 16);
        let low = &block[half * 64 + group % 2 * 32 + start..][..16];
        let high = &block[128 + half * 32 + start..][..16];
        for ((value, &low), &high) in values.iter_mut().zip(low).zip(high) {
            let quant = low >> (group / 2 * 4) & 15 | (high >> (group * 2) & 3) << 4;
            *value = scale * (f32::from(quant) - 32.0);
        }
    }
}

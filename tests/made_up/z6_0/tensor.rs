//! Z6_0: 32 six-bit quants with a scale for each 16. `value = d * (q - 32)`.

use half::f16;
use tensorlogic::tensor::quant::{QuantFormat, Scales};

/// `d: [f16; 2]`, then 24 bytes: bits 6i to 6i + 5, from the lowest of the first byte on, are quant `i`.
pub static Z6_0: QuantFormat = QuantFormat {
    name: "z6_0",
    ggml_type: 200,
    block_len: 32,
    block_bytes: 28,
    dequantize,
    quantize: Some(quantize),
    scales: Scales::F16 { offset: 0, count: 2 },
};

/// Quant `i` of a block.
pub fn quant(block: &[u8], i: usize) -> u8 {
    let (byte, shift) = (4 + 6 * i / 8, 6 * i % 8);
    let pair = u16::from(block[byte]) | u16::from(block.get(byte + 1).copied().unwrap_or(0)) << 8;
    (pair >> shift & 63) as u8
}

fn dequantize(block: &[u8], out: &mut [f32]) {
    for (i, value) in out.iter_mut().enumerate() {
        let d = f16::from_le_bytes([block[i / 16 * 2], block[i / 16 * 2 + 1]]).to_f32();
        *value = d * (f32::from(quant(block, i)) - 32.0);
    }
}

fn quantize(values: &[f32], block: &mut [u8]) {
    block.fill(0);
    for (half, values) in values.chunks(16).enumerate() {
        let d = f16::from_f32(values.iter().fold(0.0f32, |m, v| m.max(v.abs())) / 31.0);
        block[2 * half..2 * half + 2].copy_from_slice(&d.to_le_bytes());
        let inverse = if d.to_f32() > 0.0 { 1.0 / d.to_f32() } else { 0.0 };
        for (i, value) in values.iter().enumerate() {
            let q = (value * inverse).round().clamp(-32.0, 31.0) as i32 + 32;
            for bit in (0..6).filter(|bit| q >> bit & 1 == 1) {
                let at = 6 * (16 * half + i) + bit;
                block[4 + at / 8] |= 1 << (at % 8);
            }
        }
    }
}

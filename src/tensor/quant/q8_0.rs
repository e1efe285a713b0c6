//! Q8_0: 32 signed eight-bit quants with one f16 scale. `value = d * q`. Source: the GGUF specification, ggml `block_q8_0`.

use half::f16;

use super::{QuantFormat, Scales, f16_at};

/// `d: f16`, then 32 signed bytes.
pub static Q8_0: QuantFormat = QuantFormat {
    name: "q8_0",
    ggml_type: 8,
    block_len: 32,
    block_bytes: 34,
    dequantize,
    quantize: Some(quantize),
    scales: Scales::F16 { offset: 0, count: 1 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (value, &byte) in out[..32].iter_mut().zip(&block[2..34]) {
        *value = d * f32::from(byte as i8);
    }
}

fn quantize(values: &[f32], block: &mut [u8]) {
    let largest = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    block[..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    for (byte, &value) in block[2..34].iter_mut().zip(values) {
        *byte = (value * inverse).round() as i8 as u8;
    }
}

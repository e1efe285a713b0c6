//! Q4_0: 32 four-bit quants with one f16 scale. `value = d * (q - 8)`. Source: the GGUF specification, ggml `block_q4_0`.

use half::f16;

use super::{QuantFormat, Scales, f16_at};

/// `d: f16`, then 16 bytes: byte `i` holds quant `i` in its low and quant `i + 16` in its high nibble.
pub static Q4_0: QuantFormat = QuantFormat {
    name: "q4_0",
    ggml_type: 2,
    block_len: 32,
    block_bytes: 18,
    dequantize,
    quantize: Some(quantize),
    scales: Scales::F16 { offset: 0, count: 1 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (i, &byte) in block[2..18].iter().enumerate() {
        out[i] = d * (f32::from(byte & 15) - 8.0);
        out[i + 16] = d * (f32::from(byte >> 4) - 8.0);
    }
}

/// The value of largest magnitude becomes quant 0 (which stands for -8), so that it is met exactly up to the rounding of `d`.
fn quantize(values: &[f32], block: &mut [u8]) {
    let extreme = values.iter().fold(0.0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
    let d = extreme / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let quant = |v: f32| (v * inverse + 8.5).clamp(0.0, 15.0) as u8;
    block[..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    for i in 0..16 {
        block[2 + i] = quant(values[i]) | quant(values[i + 16]) << 4;
    }
}

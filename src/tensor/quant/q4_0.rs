//! Q4_0: 32 four-bit quants with one f16 scale. `value = d * (q - 8)`. Source: the GGUF specification, ggml `block_q4_0`.

use half::f16;

use super::QuantFormat;

/// `d: f16`, then 16 bytes: byte `i` holds quant `i` in its low and quant `i + 16` in its high nibble.
pub static Q4_0: QuantFormat = QuantFormat { name: "q4_0", ggml_type: 2, block_len: 32, block_bytes: 18, dequantize, f16_scales: (0, 1) };

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = f16::from_le_bytes([block[0], block[1]]).to_f32();
    for (i, &byte) in block[2..18].iter().enumerate() {
        out[i] = d * (f32::from(byte & 15) - 8.0);
        out[i + 16] = d * (f32::from(byte >> 4) - 8.0);
    }
}

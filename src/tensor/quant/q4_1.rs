//! Q4_1: 32 four-bit quants with an f16 scale and an f16 minimum. `value = d * q + m`. Source: the GGUF specification, ggml `block_q4_1`.

use super::{QuantFormat, Scales, f16_at};

/// `d: f16, m: f16`, then 16 bytes: byte `i` holds quant `i` in its low and quant `i + 16` in its high nibble.
pub static Q4_1: QuantFormat = QuantFormat {
    name: "q4_1",
    ggml_type: 3,
    block_len: 32,
    block_bytes: 20,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 0, count: 2 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    for (i, &byte) in block[4..20].iter().enumerate() {
        out[i] = d * f32::from(byte & 15) + m;
        out[i + 16] = d * f32::from(byte >> 4) + m;
    }
}

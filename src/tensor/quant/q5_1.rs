//! Q5_1: 32 five-bit quants with an f16 scale and an f16 minimum. `value = d * q + m`. Source: the GGUF specification, ggml `block_q5_1`.

use super::{QuantFormat, Scales, f16_at, u32_at};

/// `d: f16, m: f16`, `high: u32` whose bit `i` is bit 4 of quant `i`, then 16 bytes of low bits in the order of Q4_0.
pub static Q5_1: QuantFormat = QuantFormat {
    name: "q5_1",
    ggml_type: 7,
    block_len: 32,
    block_bytes: 24,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 0, count: 2 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    let high = u32_at(block, 4);
    for (i, &byte) in block[8..24].iter().enumerate() {
        let low_quant = byte & 15 | ((high >> i & 1) as u8) << 4;
        let high_quant = byte >> 4 | ((high >> (i + 16) & 1) as u8) << 4;
        out[i] = d * f32::from(low_quant) + m;
        out[i + 16] = d * f32::from(high_quant) + m;
    }
}

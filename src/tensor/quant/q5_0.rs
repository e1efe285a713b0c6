//! Q5_0: 32 five-bit quants with one f16 scale. `value = d * (q - 16)`. Source: the GGUF specification, ggml `block_q5_0`.

use super::{QuantFormat, Scales, f16_at, u32_at};

/// `d: f16`, `high: u32` whose bit `i` is bit 4 of quant `i`, then 16 bytes: byte `i` holds the low bits of quant `i` in
/// its low and those of quant `i + 16` in its high nibble.
pub static Q5_0: QuantFormat = QuantFormat {
    name: "q5_0",
    ggml_type: 6,
    block_len: 32,
    block_bytes: 22,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 0, count: 1 },
};

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    let high = u32_at(block, 2);
    for (i, &byte) in block[6..22].iter().enumerate() {
        let low_quant = byte & 15 | ((high >> i & 1) as u8) << 4;
        let high_quant = byte >> 4 | ((high >> (i + 16) & 1) as u8) << 4;
        out[i] = d * (f32::from(low_quant) - 16.0);
        out[i + 16] = d * (f32::from(high_quant) - 16.0);
    }
}

//! IQ4_NL: 32 four-bit indices into a fixed table of 16 unevenly spaced values, with one f16 scale. `value = d * TABLE[q]`.
//! Source: ggml `block_iq4_nl`.

use super::{QuantFormat, Scales, f16_at};

/// `d: f16`, then 16 bytes: byte `i` holds index `i` in its low and index `i + 16` in its high nibble.
pub static IQ4_NL: QuantFormat = QuantFormat {
    name: "iq4_nl",
    ggml_type: 20,
    block_len: 32,
    block_bytes: 18,
    dequantize,
    quantize: None,
    scales: Scales::F16 { offset: 0, count: 1 },
};

/// The values that an index of IQ4_NL and IQ4_XS stands for.
pub static IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (i, &byte) in block[2..18].iter().enumerate() {
        out[i] = d * f32::from(IQ4_VALUES[usize::from(byte & 15)]);
        out[i + 16] = d * f32::from(IQ4_VALUES[usize::from(byte >> 4)]);
    }
}

//! MXFP4: 32 four-bit floats (E2M1) with one power-of-two scale (E8M0). `value = 2^(e - 128) * TABLE[q]`, where the table
//! holds twice the value of each four-bit float. Source: the OCP Microscaling Formats specification 1.0, ggml `block_mxfp4`.

use super::{QuantFormat, Scales};

/// `e: u8`, then 16 bytes: byte `i` holds float `i` in its low and float `i + 16` in its high nibble.
pub static MXFP4: QuantFormat = QuantFormat {
    name: "mxfp4",
    ggml_type: 39,
    block_len: 32,
    block_bytes: 17,
    dequantize,
    quantize: None,
    scales: Scales::E8M0 { offset: 0 },
};

/// Twice the value of each four-bit float, which makes every entry an integer.
pub static MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

fn dequantize(block: &[u8], out: &mut [f32]) {
    let d = half_power_of_two(block[0]);
    for (i, &byte) in block[1..17].iter().enumerate() {
        out[i] = d * f32::from(MXFP4_VALUES[usize::from(byte & 15)]);
        out[i + 16] = d * f32::from(MXFP4_VALUES[usize::from(byte >> 4)]);
    }
}

/// `2^(e - 128)`, half of what the exponent byte stands for; `e` of 0 and 1 are subnormal in f32.
fn half_power_of_two(e: u8) -> f32 {
    let bits = match e {
        0 => 0x0020_0000,
        1 => 0x0040_0000,
        _ => (u32::from(e) - 1) << 23,
    };
    f32::from_bits(bits)
}

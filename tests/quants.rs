//! Every block format against a decoder written from its specification, one value at a time, and against the blocks of
//! the reference folder.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::path::Path;

use tensorlogic::tensor::quant::{FORMATS, Quant, Scales};

/// Scales that real files hold and that a careless decoder gets wrong.
const HAND_MADE_SCALES: [u16; 10] = [0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x7bff, 0xfbff];

#[test]
fn values_equal_the_specification() {
    let mut random = SplitMix(20240601);
    for format in FORMATS {
        let quant = Quant(format);
        for case in 0..600 {
            let block = block(quant, case, &mut random);
            let mut values = vec![f32::NAN; quant.block_len];
            quant.dequantize_rows(&block, &mut values);
            for (i, &value) in values.iter().enumerate() {
                let expected = specification(quant.name, &block, i) as f32;
                assert!(value == expected, "{} case {case} value {i}: {value:e} is not {expected:e}", quant.name);
            }
        }
    }
}

#[test]
fn values_equal_the_reference_folder() {
    let Ok(folder) = std::env::var("TL_REFERENCE") else {
        println!("skipped: TL_REFERENCE is not set");
        return;
    };
    for format in FORMATS {
        let quant = Quant(format);
        let file = std::fs::read(Path::new(&folder).join(format!("quants/{}.safetensors", quant.name))).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
        let blocks = tensors.tensor("blocks").unwrap();
        let expected: Vec<f32> =
            tensors.tensor("values").unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(blocks.shape()[1], quant.block_bytes);
        let mut values = vec![f32::NAN; expected.len()];
        quant.dequantize_rows(blocks.data(), &mut values);
        for (i, (value, expected)) in values.iter().zip(&expected).enumerate() {
            assert!(
                value == expected,
                "{} block {} value {}: {value:e} is not {expected:e}",
                quant.name,
                i / quant.block_len,
                i % quant.block_len
            );
        }
    }
}

#[test]
fn quantized_values_come_back_within_half_a_step() {
    let mut random = SplitMix(7);
    for (name, step) in [("q4_0", 1.0 / 8.0), ("q8_0", 1.0 / 127.0)] {
        let quant = Quant::from_name(name).unwrap();
        for spread in [1.0, 0.02, 1e-6, 0.0] {
            let values: Vec<f32> = (0..quant.block_len * 8).map(|_| (random.unit() as f32 - 0.5) * 2.0 * spread).collect();
            let mut back = vec![0.0; values.len()];
            quant.dequantize_rows(&quant.quantize_rows(&values).unwrap(), &mut back);
            for (block, (values, back)) in values.chunks(quant.block_len).zip(back.chunks(quant.block_len)).enumerate() {
                let largest = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                // q4_0 has no quant for the extreme's opposite, so that one may be a whole step off; the rounding of the
                // scale to f16 moves a value by 2^-11 of itself, or by what a subnormal scale keeps.
                let bound = largest * step * if name == "q4_0" { 1.0 } else { 0.5 } + largest / 2048.0 + 127.0 * f32::powi(2.0, -25);
                for (a, b) in values.iter().zip(back) {
                    assert!((a - b).abs() <= bound, "{name} block {block}: {a} came back as {b}, bound {bound}");
                }
            }
        }
    }
    assert!(Quant::from_name("q6_k").unwrap().quantize_rows(&[0.0; 256]).is_none());
}

#[test]
fn every_format_has_its_own_name_number_and_sizes() {
    for (i, a) in FORMATS.iter().enumerate() {
        assert!(FORMATS[i + 1..].iter().all(|b| a.name != b.name && a.ggml_type != b.ggml_type), "{}", a.name);
        assert_eq!(Quant::from_name(a.name), Quant::from_ggml(a.ggml_type));
    }
    assert_eq!(FORMATS.len(), 13);
}

/// A block with random quants and sub-scales, or all 0x00 or 0xff, whose scales go through the hand-made ones and then
/// are random finite numbers.
fn block(quant: Quant, case: usize, random: &mut SplitMix) -> Vec<u8> {
    let mut block: Vec<u8> = match case % 7 {
        5 => vec![0x00; quant.block_bytes],
        6 => vec![0xff; quant.block_bytes],
        _ => (0..quant.block_bytes).map(|_| random.next() as u8).collect(),
    };
    match quant.scales {
        Scales::F16 { offset, count } => {
            for i in 0..count {
                let scale = if case < 200 {
                    HAND_MADE_SCALES[(case + i * (case / 10)) % HAND_MADE_SCALES.len()]
                } else {
                    let bits = random.next() as u16;
                    if bits & 0x7c00 == 0x7c00 { bits & !0x0400 } else { bits }
                };
                block[offset + 2 * i..][..2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        Scales::E8M0 { offset } => block[offset] = (case % 253) as u8,
    }
    block
}

/// Value `i` of a block. Every factor is an integer or a widened scale, so the f64 result is exact and rounding it to f32
/// rounds once.
fn specification(name: &str, b: &[u8], i: usize) -> f64 {
    let bits = |byte: usize, shift: usize, width: u32| i64::from(b[byte]) >> shift & ((1 << width) - 1);
    // Nibble orders: 32 values in 16 bytes, and 64 values in 32 bytes for the K formats.
    let nibble32 = |start: usize, i: usize| bits(start + i % 16, i / 16 * 4, 4);
    let nibble64 = |start: usize, i: usize| bits(start + i / 64 * 32 + i % 32, i / 32 % 2 * 4, 4);
    let pair128 = |start: usize, i: usize| bits(start + i / 128 * 32 + i % 32, i / 32 % 4 * 2, 2);
    let k_scale = |s: usize| if s < 4 { bits(4 + s, 0, 6) } else { bits(8 + s, 0, 4) + 16 * bits(s, 6, 2) };
    let k_min = |s: usize| if s < 4 { bits(8 + s, 0, 6) } else { bits(8 + s, 4, 4) + 16 * bits(4 + s, 6, 2) };
    let table = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    let float4 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let f = |n: i64| n as f64;
    match name {
        "q4_0" => f16(b, 0) * f(nibble32(2, i) - 8),
        "q4_1" => f16(b, 0) * f(nibble32(4, i)) + f16(b, 2),
        "q5_0" => f16(b, 0) * f(nibble32(6, i) + 16 * bits(2 + i / 8, i % 8, 1) - 16),
        "q5_1" => f16(b, 0) * f(nibble32(8, i) + 16 * bits(4 + i / 8, i % 8, 1)) + f16(b, 2),
        "q8_0" => f16(b, 0) * f(i64::from(b[2 + i] as i8)),
        "q2_k" => f16(b, 80) * f(bits(i / 16, 0, 4) * pair128(16, i)) - f16(b, 82) * f(bits(i / 16, 4, 4)),
        "q3_k" => {
            let s = i / 16;
            let scale = bits(96 + s % 8, s / 8 * 4, 4) + 16 * bits(104 + s % 4, s / 4 * 2, 2) - 32;
            f16(b, 108) * f(scale * (pair128(32, i) + 4 * bits(i % 32, i / 32, 1) - 4))
        }
        "q4_k" => f16(b, 0) * f(k_scale(i / 32) * nibble64(16, i)) - f16(b, 2) * f(k_min(i / 32)),
        "q5_k" => f16(b, 0) * f(k_scale(i / 32) * (nibble64(48, i) + 16 * bits(16 + i % 32, i / 32, 1))) - f16(b, 2) * f(k_min(i / 32)),
        "q6_k" => {
            let low = bits(i / 128 * 64 + i % 64, i / 64 % 2 * 4, 4);
            f16(b, 208) * f(i64::from(b[192 + i / 16] as i8) * (low + 16 * pair128(128, i) - 32))
        }
        "iq4_nl" => f16(b, 0) * f(table[nibble32(2, i) as usize]),
        "iq4_xs" => {
            let s = i / 32;
            let scale = bits(4 + s / 2, s % 2 * 4, 4) + 16 * bits(2 + s / 4, s % 4 * 2, 2) - 32;
            f16(b, 0) * f(scale * table[nibble32(8 + s * 16, i % 32) as usize])
        }
        "mxfp4" => {
            let q = nibble32(1, i) as usize;
            (if q < 8 { 1.0 } else { -1.0 }) * float4[q % 8] * 2f64.powi(i32::from(b[0]) - 127)
        }
        other => panic!("no specification of {other} here"),
    }
}

/// IEEE 754 binary16 at byte `at`, from its fields.
fn f16(b: &[u8], at: usize) -> f64 {
    let bits = i32::from(b[at]) | i32::from(b[at + 1]) << 8;
    let (exponent, fraction) = (bits >> 10 & 31, f64::from(bits & 1023));
    let magnitude = if exponent == 0 { fraction * 2f64.powi(-24) } else { (1024.0 + fraction) * 2f64.powi(exponent - 25) };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The generator of Steele, Lea and Flood (2014): a seed is a whole test.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

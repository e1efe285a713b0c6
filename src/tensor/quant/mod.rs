//! Block formats of quantized weights, one file each.
//!
//! A format is a static [`QuantFormat`]. ARCHITECTURE.md lists the files that adding one takes. A program that embeds the engine adds its own at
//! run time instead, with [`add_format`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{PoisonError, RwLock};

use half::f16;

mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

pub use iq4_nl::{IQ4_NL, IQ4_VALUES};
pub use iq4_xs::IQ4_XS;
pub use mxfp4::{MXFP4, MXFP4_VALUES};
pub use q2_k::Q2_K;
pub use q3_k::Q3_K;
pub use q4_0::Q4_0;
pub use q4_1::Q4_1;
pub use q4_k::Q4_K;
pub use q5_0::Q5_0;
pub use q5_1::Q5_1;
pub use q5_k::Q5_K;
pub use q6_k::Q6_K;
pub use q8_0::Q8_0;

/// Every block format that comes with the engine.
pub static FORMATS: &[&QuantFormat] = &[&Q4_0, &Q4_1, &Q5_0, &Q5_1, &Q8_0, &Q2_K, &Q3_K, &Q4_K, &Q5_K, &Q6_K, &IQ4_NL, &IQ4_XS, &MXFP4];

/// Those that [`add_format`] added.
static ADDED: RwLock<Vec<&'static QuantFormat>> = RwLock::new(Vec::new());

/// Every block format the engine reads.
pub fn formats() -> impl Iterator<Item = &'static QuantFormat> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner).clone();
    FORMATS.iter().copied().chain(added)
}

/// Adds a format for the life of the process: files that have it can be opened from now on, and the CPU computes with it. For the GPU its
/// layout there is added with `gpu::add_weight_format`.
///
/// # Errors
/// Where a format has this name or number, with the name.
pub fn add_format(format: &'static QuantFormat) -> Result<(), &'static str> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    let taken = FORMATS.iter().chain(added.iter()).find(|f| f.name == format.name || f.ggml_type == format.ggml_type);
    if let Some(taken) = taken {
        return Err(taken.name);
    }
    added.push(format);
    Ok(())
}

/// One block format: how many values a block holds, in how many bytes, and what they are.
#[derive(Debug)]
pub struct QuantFormat {
    /// The name as the language prints it, `q4_0`; the WGSL fragment has the same name.
    pub name: &'static str,
    /// The type's number in a GGUF tensor directory.
    pub ggml_type: u32,
    /// Values in a block: 32 or 256.
    pub block_len: usize,
    /// Bytes of a block as it lies in a file.
    pub block_bytes: usize,
    /// Writes the `block_len` values of one block of `block_bytes` bytes. Exact: every value is what ggml's own f32 code gives.
    pub dequantize: fn(block: &[u8], out: &mut [f32]),
    /// Writes one block of `block_bytes` bytes from `block_len` finite values, for files that the project writes itself.
    pub quantize: Option<QuantizeBlock>,
    /// Where a block's floating-point scales lie; a file whose scales hold inf or NaN is refused.
    pub scales: Scales,
}

/// Writes the bytes of one block from its values.
pub type QuantizeBlock = fn(values: &[f32], block: &mut [u8]);

/// The floating-point scale fields of a block. Integer sub-scales are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// `count` consecutive little-endian f16 from byte `offset`.
    F16 { offset: usize, count: usize },
    /// One exponent byte of the OCP type E8M0 (`2^(e - 127)`, 255 is NaN) at byte `offset`.
    E8M0 { offset: usize },
}

/// A block format by reference. Two are equal when their names are.
#[derive(Clone, Copy)]
pub struct Quant(pub &'static QuantFormat);

impl Quant {
    /// The format with this number in a GGUF tensor directory.
    pub fn from_ggml(ggml_type: u32) -> Option<Quant> {
        formats().find(|f| f.ggml_type == ggml_type).map(Quant)
    }

    pub fn from_name(name: &str) -> Option<Quant> {
        formats().find(|f| f.name == name).map(Quant)
    }

    /// Writes the values of consecutive blocks, of one row or of many: `bytes` holds whole blocks, `out` their values.
    pub fn dequantize_rows(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(bytes.len() / self.block_bytes * self.block_len, out.len(), "{} blocks must fill the output", self.name);
        for (block, values) in bytes.chunks_exact(self.block_bytes).zip(out.chunks_exact_mut(self.block_len)) {
            (self.dequantize)(block, values);
        }
    }

    /// The blocks of `values`, a whole number of blocks of finite numbers, or `None` where the format is only read.
    pub fn quantize_rows(self, values: &[f32]) -> Option<Vec<u8>> {
        let quantize = self.quantize?;
        assert!(values.len().is_multiple_of(self.block_len), "{} values are no whole number of {} blocks", values.len(), self.name);
        let mut bytes = vec![0; values.len() / self.block_len * self.block_bytes];
        for (block, values) in bytes.chunks_exact_mut(self.block_bytes).zip(values.chunks_exact(self.block_len)) {
            quantize(values, block);
        }
        Some(bytes)
    }

    /// Sets every floating-point scale of one block: to `scale` rounded to f16, or to the power of two at or below it.
    /// For blocks that are made up, in tests and in `tl doctor`: their other bytes may be anything.
    pub fn set_scales(self, block: &mut [u8], scale: f32) {
        match self.scales {
            Scales::F16 { offset, count } => {
                for i in 0..count {
                    block[offset + 2 * i..][..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
                }
            }
            Scales::E8M0 { offset } => block[offset] = (scale.abs().to_bits() >> 23) as u8,
        }
    }
}

impl Deref for Quant {
    type Target = QuantFormat;
    fn deref(&self) -> &QuantFormat {
        self.0
    }
}

impl PartialEq for Quant {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Quant {}

impl Hash for Quant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The f16 at byte `offset`, widened exactly, subnormals too.
fn f16_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}

fn u32_at(block: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes([block[offset], block[offset + 1], block[offset + 2], block[offset + 3]])
}

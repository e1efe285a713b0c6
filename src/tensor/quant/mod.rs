//! Block formats of quantized weights, one file each.
//!
//! A format is a static [`QuantFormat`]. Adding one takes a file here with its entry in [`FORMATS`], and a WGSL fragment
//! of the same name under `shaders/wgsl/quant/`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

mod q4_0;

pub use q4_0::Q4_0;

/// Every block format the engine reads.
pub static FORMATS: &[&QuantFormat] = &[&Q4_0];

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
    /// The byte ranges of a block's f16 scale fields, `(offset, count)`; a file whose scales hold inf or NaN is refused.
    pub f16_scales: (usize, usize),
}

/// A block format by reference. Two are equal when their names are.
#[derive(Clone, Copy)]
pub struct Quant(pub &'static QuantFormat);

impl Quant {
    /// The format with this number in a GGUF tensor directory.
    pub fn from_ggml(ggml_type: u32) -> Option<Quant> {
        FORMATS.iter().find(|f| f.ggml_type == ggml_type).map(|f| Quant(f))
    }

    pub fn from_name(name: &str) -> Option<Quant> {
        FORMATS.iter().find(|f| f.name == name).map(|f| Quant(f))
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

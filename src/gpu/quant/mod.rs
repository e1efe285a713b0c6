//! How weights of each type lie on the device: one entry a format, with its fragment of the same name in `shaders/wgsl/quant`.
//! A program that embeds the engine adds its own with [`add_weight_format`].

mod five_bits;
mod k_quants;
mod nibbles;
mod plain;
mod q6_k;
mod q8_0;

pub use plain::F32;

use std::sync::{PoisonError, RwLock};

use crate::tensor::DType;

use super::assemble::{Source, Target};
use super::contract::Contract;
use super::{lint, shaders};

/// The layouts of the block formats that come with the engine, by the format's name.
static FORMATS: &[(&str, &WeightFormat)] = &[
    ("q4_0", &nibbles::Q4_0),
    ("q4_1", &nibbles::Q4_1),
    ("q5_0", &five_bits::Q5_0),
    ("q5_1", &five_bits::Q5_1),
    ("q8_0", &q8_0::Q8_0),
    ("q2_k", &k_quants::Q2_K),
    ("q3_k", &k_quants::Q3_K),
    ("q4_k", &k_quants::Q4_K),
    ("q5_k", &k_quants::Q5_K),
    ("q6_k", &q6_k::Q6_K),
    ("iq4_nl", &nibbles::IQ4_NL),
    ("iq4_xs", &k_quants::IQ4_XS),
    ("mxfp4", &nibbles::MXFP4),
];

/// Those that were added.
static ADDED: RwLock<Vec<(&'static str, &'static WeightFormat)>> = RwLock::new(Vec::new());

/// The buffers of a weight in the kernels that read it: their names and bindings.
pub const QUANTS: (&str, u32) = ("quants", 3);
pub const SCALES: (&str, u32) = ("scales", 4);

/// Adds the layout of a block format of this name for the life of the process, with the text of the fragment that `format.fragments` names
/// last. The fragment declares `quants` at binding 3 and, where the layout has scales, `scales` at binding 4, and defines the same functions as the
/// fragments in `shaders/wgsl/quant`, which `quant/common` expects. Kernels with it are compiled with run-time checks, so that no text reaches
/// past its buffers.
///
/// # Errors
/// Where the name, or that of the fragment, is taken; where the layout has no fragment, one that there is none of, or no words; and where the
/// fragment lacks a buffer or a function, or a kernel with it is no valid WGSL.
pub fn add_weight_format(name: &'static str, format: &'static WeightFormat, fragment: &'static str) -> Result<(), String> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if FORMATS.iter().any(|(n, _)| *n == name) || added.iter().any(|(n, _)| *n == name) {
        return Err(format!("there is a layout of `{name}` already: take another name"));
    }
    let Some((own, shared)) = format.fragments.split_last() else {
        return Err(format!("the layout of `{name}` has no fragment: name its own one last"));
    };
    if shaders::text(own).is_some() {
        return Err(format!("there is a fragment `{own}` already: take another name"));
    }
    if let Some(absent) = shared.iter().find(|name| shaders::file_name(name).is_none()) {
        return Err(format!("there is no fragment `{absent}`, which the layout of `{name}` names"));
    }
    if format.quant_words == 0 {
        return Err(format!("the layout of `{name}` has no words of quants"));
    }
    check_fragment(format, own, fragment).map_err(|problem| format!("the fragment of `{name}` is refused: {problem}"))?;
    shaders::add(own, fragment);
    added.push((name, format));
    Ok(())
}

/// Checks a fragment in the embedding, the least kernel that reads weights.
fn check_fragment(format: &WeightFormat, own: &'static str, fragment: &'static str) -> Result<(), String> {
    let target = Target { subgroup: 0, software: false, words_64: false };
    let kernel = Source::new("embedding").with_weight(format.fragments);
    let text = kernel.assemble_with(target, Some((own, fragment))).map_err(|e| e.to_string())?;
    if let Some(problem) = lint::check(own, &text).into_iter().next() {
        return Err(problem);
    }
    let contract = Contract::of(&naga::front::wgsl::parse_str(&text).map_err(|e| e.to_string())?);
    let needed = [Some(QUANTS), Some(SCALES).filter(|_| format.has_scales())];
    match needed.into_iter().flatten().find(|(buffer, binding)| !contract.declares(buffer, *binding)) {
        Some((buffer, binding)) => Err(format!("it declares no buffer `{buffer}` at binding {binding}")),
        None => Ok(()),
    }
}

/// The device's layout of a weight type. A group is 32 consecutive weights of a row.
pub struct WeightFormat {
    /// The fragment that says what kernels may ask, and those of the format.
    pub fragments: &'static [&'static str],
    /// What `block_packed` gives.
    pub quants: Quants,
    /// 32-bit words of quants for each group.
    pub quant_words: usize,
    /// Bits of scales for each group.
    pub scale_bits: usize,
    /// Writes rows of a weight.
    pub repack: fn(&Rows, &mut [u32], &mut [u32]),
}

/// The bytes that stand for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quants {
    /// None: the weights are floats.
    Floats,
    Signed,
    /// Without sign, of this many bits.
    Unsigned(u32),
}

/// Rows of a weight as they lie in a file.
pub struct Rows<'a> {
    pub bytes: &'a [u8],
    /// Values of a row.
    pub row_len: usize,
    /// Index of the first group of these rows in the buffer: scales of several groups share a word.
    pub first_group: usize,
}

impl WeightFormat {
    /// Whether f16 holds what a weight of this format says: every format but f32 has fewer bits.
    pub fn fits_f16(&self) -> bool {
        self.quant_words < 32
    }

    /// The layout for a weight type; `None` for ints.
    pub fn of(dtype: DType) -> Option<&'static WeightFormat> {
        match dtype {
            DType::F32 => Some(&plain::F32),
            DType::F16 => Some(&plain::F16),
            DType::BF16 => Some(&plain::BF16),
            DType::I32 | DType::Bool => None,
            DType::Quant(quant) => {
                let own = FORMATS.iter().find(|(name, _)| *name == quant.name).map(|(_, format)| *format);
                own.or_else(|| {
                    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
                    added.iter().find(|(name, _)| *name == quant.name).map(|(_, format)| *format)
                })
            }
        }
    }

    /// The fragments that load neighbouring pairs of groups: the format's own, with words of 64 bits, or that of any format.
    pub fn pair_fragments(&self, words_64: bool) -> Vec<&'static str> {
        let own = self.fragments.last().and_then(|fragment| fragment.strip_prefix("quant/"));
        let pair = own.filter(|_| words_64).and_then(|own| shaders::file_name(&format!("pair/{own}")));
        match pair {
            Some(pair) if self.scale_bits == 16 => vec!["pair/half_scales", pair],
            Some(pair) => vec![pair],
            None => vec!["pair/each"],
        }
    }

    pub fn has_scales(&self) -> bool {
        self.scale_bits > 0
    }

    /// Words of all scales of `groups` groups.
    pub fn scale_words(&self, groups: usize) -> usize {
        (groups * self.scale_bits).div_ceil(32)
    }
}

/// Puts an f16 at half `index` of a packed array that starts as zeros.
fn put_half(words: &mut [u32], index: usize, bits: u16) {
    words[index / 2] |= u32::from(bits) << (16 * (index % 2));
}

fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Four words whose byte i of word j holds value 4j + i in its low and value 16 + 4j + i in its high nibble, from 32 values below 16.
fn pack_nibbles(values: &[u8; 32], words: &mut [u32]) {
    for (j, word) in words[..4].iter_mut().enumerate() {
        *word = (0..4).fold(0, |w, i| w | (u32::from(values[4 * j + i]) | u32::from(values[16 + 4 * j + i]) << 4) << (8 * i));
    }
}

/// Two words that hold 32 values below 4: byte i, bits 2s of word j are those of value 16j + 4s + i.
fn pack_pairs(values: &[u8; 32], words: &mut [u32]) {
    for (j, word) in words[..2].iter_mut().enumerate() {
        *word = (0..16).fold(0, |w, e| w | u32::from(values[16 * j + e]) << (8 * (e % 4) + 2 * (e / 4)));
    }
}

/// One bit of each of 32 values: bit 8i + j is that of value 4j + i.
fn spread_bits(bit: impl Fn(usize) -> u32) -> u32 {
    (0..32).fold(0, |word, value| word | bit(value) << (8 * (value % 4) + value / 4))
}

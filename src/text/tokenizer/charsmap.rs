//! SentencePiece's table of character replacements, `tokenizer.ggml.precompiled_charsmap`: a trie of byte sequences, and what each becomes.
//!
//! The trie is a double array as Darts-clone writes it (one `u32` a unit: a label, an offset and whether a value follows); the replacements are
//! texts that end with a zero byte. Source: SentencePiece's `normalizer.cc`.

use super::TokenizerError;
use super::spec::check_limit;

pub struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

/// Unicode's compatibility forms (NFKC) take 300 kB.
const MAX_BYTES: usize = 16 << 20;
/// The longest of NFKC has 33 bytes. A longer one would let a short text fill the memory.
const MAX_REPLACEMENT: usize = 128;
/// The longest sequence that is looked up. A crafted trie may go in circles for as long as the text does.
const MAX_SEQUENCE: usize = 64;

impl Charsmap {
    /// `bytes` has the trie's length in bytes (4, little-endian), the trie, and the replacements.
    pub fn new(bytes: &[u8]) -> Result<Charsmap, TokenizerError> {
        check_limit("bytes of the precompiled charsmap", bytes.len(), MAX_BYTES)?;
        let damaged = |what: &str| TokenizerError::Charsmap(what.to_string());
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
        let len = u32::from_le_bytes(*len) as usize;
        let (trie, replacements) = rest.split_at_checked(len).ok_or_else(|| damaged("its trie is longer than the array"))?;
        let units: Vec<u32> = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        if units.is_empty() {
            return Err(damaged("its trie is empty"));
        }
        let replacements = std::str::from_utf8(replacements).map_err(|_| damaged("its replacements are no UTF-8"))?;
        let longest = replacements.split('\0').map(str::len).max().unwrap_or(0);
        check_limit("bytes of a replacement in the precompiled charsmap", longest, MAX_REPLACEMENT)?;
        Ok(Charsmap { units, replacements: replacements.to_string() })
    }

    /// `text` with the longest sequence of the table at each place replaced.
    pub fn apply(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len() + text.len() / 8);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let len = match self.longest(rest) {
                Some((len, replacement)) => {
                    replaced.push_str(replacement);
                    len
                }
                None => {
                    replaced.push(first);
                    first.len_utf8()
                }
            };
            rest = &rest[len..];
        }
        replaced
    }

    /// The length of the longest sequence of the table that `text` begins with, and its replacement. What a damaged trie points at outside of
    /// itself, and a sequence that ends within a character, are not there.
    fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let unit = |at: usize| self.units.get(at).copied();
        let mut longest = None;
        let mut at = offset(unit(0)?);
        for (i, &byte) in text.as_bytes().iter().take(MAX_SEQUENCE).enumerate().take_while(|(_, byte)| **byte != 0) {
            at ^= usize::from(byte);
            let Some(node) = unit(at).filter(|&node| label(node) == u32::from(byte)) else { break };
            at ^= offset(node);
            let start = if has_value(node) { unit(at).map(value) } else { None };
            let replacement = start.and_then(|start| self.replacements.get(start..)?.split('\0').next());
            if let Some(replacement) = replacement.filter(|_| text.is_char_boundary(i + 1)) {
                longest = Some((i + 1, replacement));
            }
        }
        longest
    }
}

/// The byte that leads to a unit; one that holds a value has the highest bit set, and is no byte's.
fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xff)
}

/// What the children's places are, combined with their labels by exclusive or.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

fn has_value(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}

/// Where a replacement begins.
fn value(unit: u32) -> usize {
    (unit & ((1 << 31) - 1)) as usize
}

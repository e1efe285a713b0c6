//! Byte-level BPE, as GPT-2 introduced it (Radford et al. 2019): the text is cut by a pre-tokenizer, each byte of a piece becomes one
//! character, and those are merged in the order of the file's list.

use std::collections::HashMap;

use rayon::prelude::*;

use super::merge::{Merger, NONE, Piece, Union};
use super::pre_tokenizer::PreTokenizer;
use super::spec::VocabSpec;
use super::vocab::Vocab;
use super::{TokenId, TokenizerError};

pub struct ByteLevelBpe {
    pre: PreTokenizer,
    /// By the ids of two neighbours, as `pair` joins them.
    merges: HashMap<u64, Merge>,
    /// The character of each byte, and its token.
    chars: [char; 256],
    bytes: [Option<TokenId>; 256],
}

#[derive(Clone, Copy)]
struct Merge {
    rank: u32,
    id: u32,
}

impl ByteLevelBpe {
    pub fn new(vocab: &Vocab, spec: &VocabSpec) -> Result<ByteLevelBpe, TokenizerError> {
        if spec.merges.is_empty() {
            return Err(TokenizerError::NoMerges);
        }
        if spec.pre.is_none() {
            log::warn!(
                "the file names no pre-tokenizer; `default` is used, as llama.cpp does, and the text may be cut otherwise than in training"
            );
        }
        let pre = PreTokenizer::named(spec.pre.as_deref())?;
        // No merge may arrive at a token of structure.
        let mergeable = |text: &str| vocab.id(text).filter(|&id| vocab.is_mergeable(id));
        // The look-ups are most of the time that loading takes, and independent of one another.
        let resolve = |union: &mut String, rank: usize| {
            let merge = spec.merges.get(rank).unwrap_or_default();
            let (left, right) = split_merge(merge).ok_or_else(|| TokenizerError::Merge { index: rank, merge: merge.to_owned() })?;
            union.clear();
            union.extend([left, right]);
            let ids = (mergeable(left), mergeable(right), mergeable(union));
            // Files carry merges whose pieces were cut from the vocabulary; they can never apply.
            let (Some(left), Some(right), Some(id)) = ids else { return Ok(None) };
            Ok(Some((pair(left.0, right.0), Merge { rank: rank as u32, id: id.0 })))
        };
        let resolved: Vec<_> = (0..spec.merges.len()).into_par_iter().map_init(String::new, resolve).collect::<Result<_, _>>()?;
        let mut merges = HashMap::with_capacity(resolved.len());
        for (neighbours, merge) in resolved.into_iter().flatten() {
            merges.entry(neighbours).or_insert(merge);
        }
        let chars = byte_chars();
        let bytes = chars.map(|c| mergeable(c.encode_utf8(&mut [0; 4])));
        Ok(ByteLevelBpe { pre, merges, chars, bytes })
    }

    pub fn encode(&self, vocab: &Vocab, fragment: &str, ids: &mut Vec<TokenId>) {
        let mut merger = Merger::default();
        let mut characters = String::new();
        self.pre.split(fragment, &mut |word| {
            if self.pre.whole_words_first {
                characters.clear();
                characters.extend(word.bytes().map(|byte| self.chars[byte as usize]));
                if let Some(id) = vocab.id(&characters).filter(|&id| vocab.is_mergeable(id)) {
                    return ids.push(id);
                }
            }
            // Positions within a word are kept in 32 bits.
            for part in word.as_bytes().chunks(PART_BYTES) {
                let bytes = part.iter().map(|&byte| (1, self.bytes[byte as usize].map_or(NONE, |id| id.0)));
                let union =
                    |l: &Piece, r: &Piece| self.merges.get(&pair(l.id, r.id)).map(|merge| Union { urgency: merge.rank, id: merge.id });
                for piece in merger.merge(bytes, union).iter().filter(|piece| piece.len > 0) {
                    match piece.id {
                        NONE => ids.extend(vocab.unknown),
                        id => ids.push(TokenId(id)),
                    }
                }
            }
        });
    }
}

const PART_BYTES: usize = 1 << 30;

/// One word is hashed in half the time of two.
fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// The space between the pieces; the first piece may itself begin with one.
fn split_merge(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?.len_utf8();
    let space = first + merge[first..].find(' ')?;
    Some((&merge[..space], &merge[space + 1..]))
}

/// The character that stands for each byte: itself where it is printable in Latin-1, else the next free one from U+0100.
pub fn byte_chars() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let code = match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => byte as u32,
            _ => {
                next += 1;
                next - 1
            }
        };
        char::from_u32(code).expect("codes below 0x144 are characters")
    })
}

/// The byte that a character of a byte-level token stands for.
pub fn char_byte(c: char) -> Option<u8> {
    let code = c as u32;
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_and_bytes_are_inverse() {
        let chars = byte_chars();
        assert_eq!((chars[b' ' as usize], chars[b'\n' as usize], chars[0xad]), ('Ġ', 'Ċ', 'Ń'));
        for byte in 0..=255u8 {
            assert_eq!(char_byte(chars[byte as usize]), Some(byte));
        }
        assert_eq!(char_byte('▁'), None);
    }

    #[test]
    fn a_merge_is_cut_at_the_space_behind_its_first_character() {
        assert_eq!(split_merge("Ġ t"), Some(("Ġ", "t")));
        assert_eq!(split_merge("  a"), Some((" ", "a")));
        assert_eq!(split_merge("ab"), None);
        assert_eq!(split_merge(""), None);
    }
}

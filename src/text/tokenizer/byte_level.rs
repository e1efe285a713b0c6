//! Byte-level BPE, as GPT-2 introduced it (Radford et al. 2019): the text is cut by a pre-tokenizer, each byte of a piece becomes one
//! character, and those are merged in the order of the file's list.

use super::merge::{Merger, NONE};
use super::merge_list::{MergeList, mergeable};
use super::pre_tokenizer::PreTokenizer;
use super::spec::VocabSpec;
use super::vocab::Vocab;
use super::{TokenId, TokenizerError};

pub struct ByteLevelBpe {
    pre: PreTokenizer,
    merges: MergeList,
    /// The character of each byte, and its token.
    chars: [char; 256],
    bytes: [Option<TokenId>; 256],
}

impl ByteLevelBpe {
    pub fn new(vocab: &Vocab, spec: &VocabSpec) -> Result<ByteLevelBpe, TokenizerError> {
        let merges = MergeList::new(vocab, &spec.merges)?;
        if spec.pre.is_none() {
            log::warn!(
                "the file names no pre-tokenizer; `default` is used, as llama.cpp does, and the text may be cut otherwise than in training"
            );
        }
        let pre = PreTokenizer::named(spec.pre.as_deref())?;
        let chars = byte_chars();
        let bytes = chars.map(|c| mergeable(vocab, c.encode_utf8(&mut [0; 4])));
        Ok(ByteLevelBpe { pre, merges, chars, bytes })
    }

    pub fn encode(&self, vocab: &Vocab, fragment: &str, ids: &mut Vec<TokenId>) {
        let mut merger = Merger::default();
        let mut characters = String::new();
        self.pre.split(fragment, &mut |word| {
            if self.pre.whole_words_first {
                characters.clear();
                characters.extend(word.bytes().map(|byte| self.chars[byte as usize]));
                if let Some(id) = mergeable(vocab, &characters) {
                    return ids.push(id);
                }
            }
            // Positions within a word are kept in 32 bits.
            for part in word.as_bytes().chunks(PART_BYTES) {
                let bytes = part.iter().map(|&byte| (1, self.bytes[byte as usize].map_or(NONE, |id| id.0)));
                for piece in merger.merge(bytes, |left, right| self.merges.union(left, right)).iter().filter(|piece| piece.len > 0) {
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
}

//! Byte-level BPE, as GPT-2 introduced it (Radford et al. 2019): the text is cut by a pre-tokenizer, each byte of a piece becomes one
//! character, and the `tokenizers` crate's BPE merges those.

use tokenizers::Model;
use tokenizers::models::bpe::{BPE, Merges, Vocab as BpeVocab};

use super::pre_tokenizer::PreTokenizer;
use super::spec::VocabSpec;
use super::vocab::Vocab;
use super::{TokenId, TokenizerError};

pub struct ByteLevelBpe {
    bpe: BPE,
    pre: PreTokenizer,
    /// The character of each byte.
    chars: [char; 256],
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
        // Tokens of structure stay outside of the model, so that no merge can arrive at one.
        let mergeable = |text: &str| vocab.id(text).filter(|&id| vocab.is_mergeable(id));
        let texts = vocab.ids().filter_map(|id| vocab.text(id));
        let pieces: BpeVocab = texts.filter_map(|text| Some((text.to_string(), mergeable(text)?.0))).collect();
        let mut merges = Merges::with_capacity(spec.merges.len());
        let mut union = String::new();
        for (index, merge) in spec.merges.iter().enumerate() {
            let (left, right) = split_merge(merge).ok_or_else(|| TokenizerError::Merge { index, merge: merge.clone() })?;
            union.clear();
            union.push_str(left);
            union.push_str(right);
            // Files carry merges whose pieces were cut from the vocabulary; they can never apply.
            if mergeable(&union).is_some() && mergeable(left).is_some() && mergeable(right).is_some() {
                merges.push((left.to_string(), right.to_string()));
            }
        }
        let bpe = BPE::builder()
            .vocab_and_merges(pieces, merges)
            .ignore_merges(pre.whole_words_first)
            .build()
            .map_err(|e| TokenizerError::Bpe(e.to_string()))?;
        Ok(ByteLevelBpe { bpe, pre, chars: byte_chars() })
    }

    pub fn encode(&self, vocab: &Vocab, fragment: &str, ids: &mut Vec<TokenId>) {
        let mut characters = String::new();
        self.pre.split(fragment, &mut |piece| {
            characters.clear();
            characters.extend(piece.bytes().map(|byte| self.chars[byte as usize]));
            match self.bpe.tokenize(&characters) {
                Ok(tokens) if !tokens.is_empty() => ids.extend(tokens.iter().map(|token| TokenId(token.id))),
                _ => ids.extend(vocab.unknown),
            }
        });
    }
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

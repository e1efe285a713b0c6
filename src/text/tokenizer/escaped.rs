//! What the encoders of SentencePiece vocabularies share: `▁` stands for a space, and byte tokens for a character without a token of its own.

use super::TokenId;
use super::vocab::Vocab;

/// Positions are kept in 32 bits; longer texts are encoded in parts of this many bytes, cut at a character.
const PART_BYTES: usize = 1 << 28;

/// `text` with `▁` for each space, and one in front if `prefix`.
pub fn escape_spaces(text: &str, prefix: bool) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 2 + 3);
    if prefix {
        escaped.push('▁');
    }
    escaped.extend(text.chars().map(|c| if c == ' ' { '▁' } else { c }));
    escaped
}

/// The parts of `text` that are encoded one by one: a single one, unless it is very long.
pub fn parts(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (part, rest) = text.split_at(text.floor_char_boundary(PART_BYTES));
        text = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// The byte tokens of characters without a token of their own, or one unknown token where the vocabulary lacks any of these bytes.
pub fn push_bytes(vocab: &Vocab, characters: &[u8], ids: &mut Vec<TokenId>) {
    let bytes: Option<Vec<TokenId>> = characters.iter().map(|&byte| vocab.byte_id(byte)).collect();
    match bytes {
        Some(bytes) => ids.extend(bytes),
        None => ids.extend(vocab.unknown),
    }
}

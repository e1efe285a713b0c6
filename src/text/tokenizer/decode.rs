//! Token ids to text, one at a time, by whole characters.

use super::TokenId;
use super::byte_level::char_byte;
use super::vocab::{THINK_MARKS, TokenKind, Vocab, VocabStyle};

/// Turns ids into text as they come. A character whose bytes are spread over several tokens is held back until it is complete; bytes that are
/// no UTF-8 become U+FFFD.
pub struct Decoder<'a> {
    vocab: &'a Vocab,
    /// Bytes that begin a character and are not enough for it yet: at most 3 between calls.
    pending: Vec<u8>,
    /// Whether the next text is the first, whose leading space vocabularies drop that put one in front of each word.
    at_start: bool,
    show_specials: bool,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(vocab: &'a Vocab, at_start: bool) -> Decoder<'a> {
        Decoder { vocab, pending: Vec::new(), at_start, show_specials: false }
    }

    /// Writes special tokens by their names instead of leaving them out.
    pub fn showing_specials(mut self) -> Self {
        self.show_specials = true;
        self
    }

    /// The text that `id` completes, if any. An id outside of the vocabulary is no text.
    pub fn push(&mut self, id: TokenId) -> Option<String> {
        let before = self.pending.len();
        self.append_bytes(id);
        if before == 0 && self.at_start && !self.pending.is_empty() {
            self.at_start = false;
            let prefixed = matches!(self.vocab.style, VocabStyle::SentencePiece { space_prefix: true } | VocabStyle::WordPiece { .. });
            if prefixed && self.pending[0] == b' ' {
                self.pending.remove(0);
            }
        }
        self.take_complete()
    }

    /// What is left at the end: U+FFFD for an incomplete character. The decoder can go on with another text.
    pub fn finish(&mut self) -> Option<String> {
        if self.pending.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        Some(text)
    }

    fn append_bytes(&mut self, id: TokenId) {
        let (Some(kind), Some(text)) = (self.vocab.kind(id), self.vocab.text(id)) else { return };
        match kind {
            TokenKind::Control | TokenKind::Unknown if !self.show_specials && !THINK_MARKS.contains(&text) => {}
            TokenKind::Control | TokenKind::Unknown => self.pending.extend(text.bytes()),
            TokenKind::Byte => self.pending.extend(self.vocab.byte(id)),
            TokenKind::UserDefined if !matches!(self.vocab.style, VocabStyle::SentencePiece { .. }) => self.pending.extend(text.bytes()),
            _ => match self.vocab.style {
                VocabStyle::ByteLevel => append_byte_level(text, &mut self.pending),
                VocabStyle::SentencePiece { .. } => {
                    let mut utf8 = [0; 4];
                    for c in text.chars() {
                        let c = if c == '▁' { ' ' } else { c };
                        self.pending.extend(c.encode_utf8(&mut utf8).bytes());
                    }
                }
                VocabStyle::WordPiece { marks } => {
                    let (piece, begins_word) = marks.split(text);
                    // These stand at the word before them, as the `tokenizers` crate decodes them.
                    if begins_word && !matches!(piece, "." | "?" | "!" | ",") {
                        self.pending.push(b' ');
                    }
                    self.pending.extend(piece.bytes());
                }
            },
        }
    }

    /// Takes all bytes but those of a character that could still become complete.
    fn take_complete(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(std::str::from_utf8(valid).unwrap_or(""));
                    let Some(invalid) = error.error_len() else {
                        rest = after;
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[invalid..];
                }
            }
        }
        let taken = self.pending.len() - rest.len();
        self.pending.drain(..taken);
        (!text.is_empty()).then_some(text)
    }
}

/// A byte-level token; one with a character that stands for no byte is its own text, as added tokens of older files are.
fn append_byte_level(text: &str, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for c in text.chars() {
        match char_byte(c) {
            Some(byte) => bytes.push(byte),
            None => {
                bytes.truncate(start);
                return bytes.extend(text.bytes());
            }
        }
    }
}

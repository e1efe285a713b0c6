//! The vocabulary: each token's text and kind, and what a token's name says about it.

use super::spec::{ModelKind, VocabSpec};
use super::text_index::TextIndex;
use super::texts::Texts;
use super::wordpiece::CONTINUATION;
use super::{TokenId, TokenizerError};

/// How a token's text stands for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocabStyle {
    /// `▁` is a space and `<0xNN>` a byte. With `space_prefix` a text is encoded as if it began with a space.
    SentencePiece { space_prefix: bool },
    /// Each character stands for one byte, as in GPT-2.
    ByteLevel,
    /// Normalized words and parts of words. The ids do not keep what stood between two words, so decoding puts a space there.
    WordPiece { marks: WordMarks },
}

/// How a WordPiece vocabulary tells the first piece of a word from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordMarks {
    /// `▁` in front of the first, as in GGUF files.
    Starts,
    /// `##` in front of the others, as in `tokenizer.json`.
    Continuations,
}

impl WordMarks {
    /// A token's text without its mark, and whether it begins a word.
    pub fn split(self, text: &str) -> (&str, bool) {
        match self {
            WordMarks::Starts => text.strip_prefix('▁').map_or((text, false), |piece| (piece, true)),
            WordMarks::Continuations => text.strip_prefix(CONTINUATION).map_or((text, true), |piece| (piece, false)),
        }
    }
}

/// GGUF's token types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl TokenKind {
    fn from_gguf(token_type: i32) -> TokenKind {
        match token_type {
            2 => TokenKind::Unknown,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            5 => TokenKind::Unused,
            6 => TokenKind::Byte,
            _ => TokenKind::Normal,
        }
    }
}

pub struct Vocab {
    pub style: VocabStyle,
    pub bos: Option<TokenId>,
    pub eos: Option<TokenId>,
    pub unknown: Option<TokenId>,
    texts: Texts,
    tokens: Vec<Token>,
    index: TextIndex,
    /// `<0xNN>` by value, where the vocabulary has them.
    bytes: [Option<TokenId>; 256],
}

#[derive(Clone, Copy)]
struct Token {
    kind: TokenKind,
    is_eog: bool,
    strips_left: bool,
    strips_right: bool,
    byte: u8,
}

/// Ids that the metadata names.
#[derive(Default)]
pub struct NamedIds {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unknown: Option<u32>,
    /// Further ids that end a generation.
    pub end: Vec<u32>,
}

/// Tokens that end a generation whatever the metadata says, by the names that published vocabularies give them.
const END_NAMES: [&str; 22] = [
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<turn|>",
    TOOL_RESPONSE,
    "<｜end▁of▁sentence｜>",
];

/// Gemma 4 ends with this where the answer of a tool is to follow.
const TOOL_RESPONSE: &str = "<|tool_response>";

/// Marks of a model's thinking. They are text to be shown (dimmed), even where a file calls them control tokens.
pub const THINK_MARKS: [&str; 6] = ["<think>", "</think>", "[THINK]", "[/THINK]", "<|START_THINKING|>", "<|END_THINKING|>"];

impl Vocab {
    /// Takes the tokens out of `spec`.
    pub fn from_spec(spec: &mut VocabSpec) -> Result<Vocab, TokenizerError> {
        let kinds = match spec.token_types.is_empty() {
            true => vec![TokenKind::Normal; spec.tokens.len()],
            false => spec.token_types.iter().map(|&t| TokenKind::from_gguf(t)).collect(),
        };
        let style = spec.style()?;
        let named = |name: &str| spec.tokens.iter().position(|text| text == name).map(|id| id as u32);
        // The defaults are those of the SentencePiece trainer, which files made in 2023 leave out, of T5, and BERT's names.
        let (bos, eos, unknown) = match spec.kind()? {
            ModelKind::Llama => (spec.bos.or(Some(1)), spec.eos.or(Some(2)), spec.unknown.or(Some(0))),
            ModelKind::T5 => (spec.bos, spec.eos.or(Some(1)), spec.unknown.or(Some(2))),
            ModelKind::Bert => (
                spec.cls.or(spec.bos).or_else(|| named("[CLS]")),
                spec.separator.or(spec.eos).or_else(|| named("[SEP]")),
                spec.unknown.or_else(|| named("[UNK]")),
            ),
            ModelKind::Gpt2 | ModelKind::Gemma4 => (spec.bos, spec.eos, spec.unknown),
        };
        let ids = NamedIds { bos, eos, unknown, end: spec.eot.into_iter().chain(spec.eom).collect() };
        let mut vocab = Vocab::new(style, std::mem::take(&mut spec.tokens), kinds, &ids);
        if spec.specials_strip_right() {
            for i in 0..vocab.tokens.len() {
                let named = matches!(vocab.texts.get(i), Some("<unk>" | "<s>" | "<|endoftext|>"));
                vocab.tokens[i].strips_right = !named && vocab.is_added(TokenId(i as u32));
            }
        }
        Ok(vocab)
    }

    /// `texts` and `kinds` are of one length; ids outside of it are dropped with a warning in the log, as files do carry such.
    pub fn new(style: VocabStyle, texts: Texts, kinds: Vec<TokenKind>, ids: &NamedIds) -> Vocab {
        let index = TextIndex::new(&texts);
        let tokens = kinds
            .iter()
            .zip(texts.iter())
            .map(|(&kind, text)| {
                let byte = if kind == TokenKind::Byte { parse_byte(text) } else { None };
                let kind = if kind == TokenKind::Byte && byte.is_none() { TokenKind::Normal } else { kind };
                Token { kind, is_eog: false, strips_left: false, strips_right: false, byte: byte.unwrap_or(0) }
            })
            .collect();
        let n_tokens = texts.len();
        let in_range = |id: Option<u32>, what: &str| {
            if let Some(id) = id.filter(|&id| id as usize >= n_tokens) {
                log::warn!("{what} id {id} is outside the vocabulary of {n_tokens} tokens and is not used");
            }
            id.filter(|&id| (id as usize) < n_tokens).map(TokenId)
        };
        let mut vocab = Vocab {
            style,
            bos: in_range(ids.bos, "BOS"),
            eos: in_range(ids.eos, "EOS"),
            unknown: in_range(ids.unknown, "unknown-token"),
            texts,
            tokens,
            index,
            bytes: [None; 256],
        };
        for (i, token) in vocab.tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Byte) {
            vocab.bytes[token.byte as usize] = Some(TokenId(i as u32));
        }
        for bos in vocab.bos.into_iter().collect::<Vec<_>>() {
            vocab.tokens[bos.0 as usize].kind = TokenKind::Control;
        }
        for id in vocab.eos.into_iter().chain(ids.end.iter().filter_map(|&id| in_range(Some(id), "end"))).collect::<Vec<_>>() {
            vocab.mark_end(id);
        }
        // Gemma 4 has `</s>` among its words of HTML.
        let is_html = |name: &str| name == "</s>" && vocab.id(TOOL_RESPONSE).is_some();
        for id in END_NAMES.iter().filter(|name| !is_html(name)).filter_map(|name| vocab.id(name)).collect::<Vec<_>>() {
            vocab.mark_end(id);
        }
        vocab.keep_message_ends_apart();
        vocab
    }

    /// An end token is a control token, whatever type the file gives it: a message must not be able to spell it.
    fn mark_end(&mut self, id: TokenId) {
        let token = &mut self.tokens[id.0 as usize];
        token.is_eog = true;
        token.kind = TokenKind::Control;
    }

    /// In vocabularies that end a generation with `<|return|>` or `<|call|>`, as gpt-oss has, `<|end|>` ends one message of several only.
    fn keep_message_ends_apart(&mut self) {
        let ends = |name: &str| self.id(name).is_some();
        let several = (ends("<|return|>") && ends("<|call|>")) || (ends("<|calls|>") && ends("<|flush|>"));
        if let Some(end) = self.id("<|end|>").filter(|&end| several && Some(end) != self.eos) {
            self.tokens[end.0 as usize].is_eog = false;
        }
    }

    pub fn set_strips(&mut self, id: TokenId, left: bool, right: bool) {
        if let Some(token) = self.tokens.get_mut(id.0 as usize) {
            (token.strips_left, token.strips_right) = (left, right);
        }
    }

    pub fn len(&self) -> usize {
        self.texts.len()
    }

    pub fn ids(&self) -> impl Iterator<Item = TokenId> + use<> {
        (0..self.texts.len() as u32).map(TokenId)
    }

    pub fn text(&self, id: TokenId) -> Option<&str> {
        self.texts.get(id.0 as usize)
    }

    pub fn id(&self, text: &str) -> Option<TokenId> {
        self.index.get(&self.texts, text).map(TokenId)
    }

    pub fn byte_id(&self, byte: u8) -> Option<TokenId> {
        self.bytes[byte as usize]
    }

    pub fn kind(&self, id: TokenId) -> Option<TokenKind> {
        self.tokens.get(id.0 as usize).map(|token| token.kind)
    }

    /// The value of a byte token.
    pub fn byte(&self, id: TokenId) -> Option<u8> {
        self.tokens.get(id.0 as usize).filter(|token| token.kind == TokenKind::Byte).map(|token| token.byte)
    }

    /// Whether the text is recognised in front of all encoding, in a template's text at least.
    pub fn is_added(&self, id: TokenId) -> bool {
        matches!(self.kind(id), Some(TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined))
    }

    /// Whether only a template's text may become this token: control tokens, and user-defined ones that look like a mark of structure, as
    /// DeepSeek's `<｜User｜>` does. Other user-defined tokens, such as runs of white space, are ordinary text.
    pub fn is_special(&self, id: TokenId) -> bool {
        match self.kind(id) {
            Some(TokenKind::Control | TokenKind::Unknown) => true,
            Some(TokenKind::UserDefined) => self.text(id).is_some_and(looks_like_a_mark),
            _ => false,
        }
    }

    /// Whether merging pieces of text may arrive at this token.
    pub fn is_mergeable(&self, id: TokenId) -> bool {
        !self.is_special(id) && self.kind(id).is_some_and(|kind| kind != TokenKind::Byte)
    }

    pub fn is_eog(&self, id: TokenId) -> bool {
        self.tokens.get(id.0 as usize).is_some_and(|token| token.is_eog)
    }

    pub fn eog_ids(&self) -> Vec<TokenId> {
        self.ids().filter(|&id| self.is_eog(id)).collect()
    }

    pub fn strips_left(&self, id: TokenId) -> bool {
        self.tokens[id.0 as usize].strips_left
    }

    pub fn strips_right(&self, id: TokenId) -> bool {
        self.tokens[id.0 as usize].strips_right
    }
}

/// `<0x0A>` is 10.
fn parse_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

fn looks_like_a_mark(text: &str) -> bool {
    let inside = |open: char, close: char| text.len() > 2 && text.starts_with(open) && text.ends_with(close);
    let tag = inside('<', '>') && text.chars().any(|c| matches!(c, '|' | '｜' | '_'));
    // `[INST]`, `[/INST]`, `[TOOL_CALLS]`.
    let capitals = inside('[', ']') && text[1..text.len() - 1].chars().all(|c| c.is_ascii_uppercase() || matches!(c, '/' | '_'));
    tag || capitals || THINK_MARKS.contains(&text)
}

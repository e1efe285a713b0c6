//! The tokenizer part of a GGUF file's metadata, as plain data.

use super::pre_tokenizer;
use super::texts::Texts;
use super::{TokenizerError, VocabStyle, WordMarks};

/// What `tokenizer.ggml.*` says. `None` and empty stand for keys that the file does not have.
#[derive(Clone, Debug, Default)]
pub struct VocabSpec {
    /// `tokenizer.ggml.model`: `llama`, `gpt2`, `gemma4`, `bert` or `t5`.
    pub model: String,
    /// `tokenizer.ggml.pre`: the pre-tokenizer's name; used with `gpt2`.
    pub pre: Option<String>,
    pub tokens: Texts,
    pub scores: Vec<f32>,
    /// One of GGUF's token types each: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// `"left right"`, most urgent first.
    pub merges: Texts,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub eot: Option<u32>,
    pub eom: Option<u32>,
    pub unknown: Option<u32>,
    /// What BERT begins and ends a text with.
    pub cls: Option<u32>,
    pub separator: Option<u32>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    pub add_space_prefix: Option<bool>,
    /// Whether a `t5` vocabulary makes one space of several.
    pub remove_extra_whitespaces: Option<bool>,
    /// The table of character replacements of a `t5` vocabulary, as SentencePiece writes it.
    pub precompiled_charsmap: Vec<u8>,
    /// Whether a `bert` vocabulary is of lower-case words, and of words without accents (as the former, where absent).
    pub lowercase: Option<bool>,
    pub strip_accents: Option<bool>,
    /// `general.architecture`.
    pub architecture: Option<String>,
    /// `general.name`.
    pub name: Option<String>,
}

/// What `tokenizer.ggml.model` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    Llama,
    Gpt2,
    Gemma4,
    Bert,
    T5,
}

/// Real vocabularies reach 262,144 tokens and as many merges; these leave room and bound the memory a crafted file can ask for.
pub const MAX_TOKENS: usize = 1 << 20;
pub const MAX_MERGES: usize = 1 << 22;
/// The longest token of a real vocabulary is 256 bytes of white space.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;

impl VocabSpec {
    /// Refuses lengths that do not fit together and sizes beyond the limits.
    pub(super) fn check(&self) -> Result<(), TokenizerError> {
        let n_tokens = self.tokens.len();
        if n_tokens == 0 {
            return Err(TokenizerError::Empty);
        }
        check_limit("number of tokens", n_tokens, MAX_TOKENS)?;
        check_limit("number of merges", self.merges.len(), MAX_MERGES)?;
        let longest = self.tokens.iter().map(str::len).max().unwrap_or(0);
        check_limit("bytes of a token", longest, MAX_TOKEN_BYTES)?;
        for (what, found) in [("scores", self.scores.len()), ("token_type", self.token_types.len())] {
            if found != 0 && found != n_tokens {
                return Err(TokenizerError::Length { what, found, expected: n_tokens });
            }
        }
        Ok(())
    }

    pub(super) fn kind(&self) -> Result<ModelKind, TokenizerError> {
        match self.model.as_str() {
            "llama" => Ok(ModelKind::Llama),
            "gpt2" => Ok(ModelKind::Gpt2),
            "gemma4" => Ok(ModelKind::Gemma4),
            "bert" => Ok(ModelKind::Bert),
            "t5" => Ok(ModelKind::T5),
            other => Err(TokenizerError::UnknownModel(other.to_string())),
        }
    }

    pub(super) fn style(&self) -> Result<VocabStyle, TokenizerError> {
        Ok(match self.kind()? {
            ModelKind::Llama | ModelKind::T5 => VocabStyle::SentencePiece { space_prefix: self.add_space_prefix.unwrap_or(true) },
            ModelKind::Gemma4 => VocabStyle::SentencePiece { space_prefix: false },
            ModelKind::Gpt2 => VocabStyle::ByteLevel,
            ModelKind::Bert => VocabStyle::WordPiece { marks: WordMarks::Starts },
        })
    }

    /// The file's rule, or the one its kind of vocabulary was published with: byte-level ones begin with BOS where their pre-tokenizer's family
    /// does, T5 does not. Gemma 4 always does: early files say otherwise by mistake, and llama.cpp does not believe them either.
    pub(super) fn adds_bos(&self) -> Result<bool, TokenizerError> {
        let published = match self.kind()? {
            ModelKind::Gemma4 => return Ok(true),
            ModelKind::Llama | ModelKind::Bert => true,
            ModelKind::Gpt2 => self.pre.as_deref().is_some_and(pre_tokenizer::adds_bos),
            ModelKind::T5 => false,
        };
        Ok(self.add_bos.unwrap_or(published))
    }

    /// As `adds_bos`: BERT and T5 end a text.
    pub(super) fn adds_eos(&self) -> Result<bool, TokenizerError> {
        Ok(self.add_eos.unwrap_or(matches!(self.kind()?, ModelKind::Bert | ModelKind::T5)))
    }

    /// Phi-3's marks swallow the white space that follows them. GGUF has no key for that, so the model is known by its name.
    pub(super) fn specials_strip_right(&self) -> bool {
        let name = self.name.as_deref().unwrap_or("").to_lowercase();
        self.model == "llama" && (self.architecture.as_deref() == Some("phi3") || name.contains("phi-3") || name.contains("phi3"))
    }
}

pub fn check_limit(what: &'static str, found: usize, limit: usize) -> Result<(), TokenizerError> {
    if found > limit { Err(TokenizerError::TooLarge { what, found, limit }) } else { Ok(()) }
}

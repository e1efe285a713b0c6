//! Text to token ids and back, as the vocabulary in a model's file says.
//!
//! A text is cut at special tokens first; what lies between is encoded by one of five encoders: SentencePiece-style BPE by score, Gemma 4's
//! BPE by a list of merges, byte-level BPE behind a pre-tokenizer, SentencePiece's unigram model, or a pipeline of the `tokenizers` crate, which
//! a `tokenizer.json` describes and BERT's WordPiece is. Decoding is one rule per vocabulary style.

mod byte_level;
mod charsmap;
mod decode;
mod error;
mod escaped;
mod gemma;
mod json;
mod merge;
mod merge_list;
mod pipeline;
mod pre_tokenizer;
mod sentencepiece;
mod spec;
mod special;
#[cfg(test)]
mod tests;
mod text_index;
mod texts;
mod unigram;
mod vocab;
mod wordpiece;

use std::ops::Range;

pub use decode::Decoder;
pub use error::TokenizerError;
pub use json::JsonSpecials;
pub use pre_tokenizer::names as pre_tokenizer_names;
pub use spec::VocabSpec;
pub use texts::Texts;
pub use vocab::{TokenKind, VocabStyle, WordMarks};

use byte_level::ByteLevelBpe;
use gemma::GemmaBpe;
use pipeline::Pipeline;
use sentencepiece::SentencePieceBpe;
use spec::ModelKind;
use special::SpecialIndex;
use unigram::Unigram;
use vocab::Vocab;

/// The index of a token in the vocabulary, and of its row in the embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub u32);

/// What to do with text that spells a special token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// It is ordinary text and becomes ordinary tokens. For everything that a person or a file supplies.
    Plain,
    /// It becomes the special token. For the text of a chat template alone.
    Parsed,
}

/// Encodes and decodes. Made once per model; every method takes `&self` and may be called from several threads.
pub struct Tokenizer {
    vocab: Vocab,
    specials: SpecialIndex,
    encoder: Encoder,
    add_bos: bool,
    add_eos: bool,
}

/// Encodes text without special tokens, one fragment at a time.
enum Encoder {
    SentencePiece(SentencePieceBpe),
    ByteLevel(Box<ByteLevelBpe>),
    Gemma(Box<GemmaBpe>),
    Unigram(Box<Unigram>),
    Pipeline(Box<Pipeline>),
}

impl Tokenizer {
    /// Builds the tokenizer of a GGUF file from its metadata.
    pub fn from_spec(mut spec: VocabSpec) -> Result<Tokenizer, TokenizerError> {
        spec.check()?;
        let (add_bos, add_eos) = (spec.adds_bos()?, spec.adds_eos()?);
        let vocab = Vocab::from_spec(&mut spec)?;
        let encoder = match spec.kind()? {
            ModelKind::Llama => Encoder::SentencePiece(SentencePieceBpe::new(&vocab, &spec.scores)),
            ModelKind::Gpt2 => Encoder::ByteLevel(Box::new(ByteLevelBpe::new(&vocab, &spec)?)),
            ModelKind::Gemma4 => Encoder::Gemma(Box::new(GemmaBpe::new(&vocab, &spec)?)),
            ModelKind::Bert => Encoder::Pipeline(Box::new(wordpiece::pipeline(&vocab, &spec)?)),
            ModelKind::T5 => Encoder::Unigram(Box::new(Unigram::new(&vocab, &spec)?)),
        };
        Tokenizer::assemble(vocab, encoder, add_bos, add_eos)
    }

    /// Builds the tokenizer of a Hugging Face folder from the bytes of its `tokenizer.json` and what its other files say.
    pub fn from_json(tokenizer_json: &[u8], specials: &JsonSpecials) -> Result<Tokenizer, TokenizerError> {
        let parsed = json::parse(tokenizer_json, specials)?;
        Tokenizer::assemble(parsed.vocab, Encoder::Pipeline(Box::new(parsed.pipeline)), parsed.add_bos, parsed.add_eos)
    }

    fn assemble(vocab: Vocab, encoder: Encoder, add_bos: bool, add_eos: bool) -> Result<Tokenizer, TokenizerError> {
        let specials = SpecialIndex::new(&vocab)?;
        Ok(Tokenizer { vocab, specials, encoder, add_bos, add_eos })
    }

    /// The ids of `text`. With `add_bos_eos` the vocabulary's BOS and EOS are added where its metadata asks for them.
    ///
    /// A character that the vocabulary cannot express becomes its unknown token, or nothing where it has none.
    pub fn encode(&self, text: &str, specials: Specials, add_bos_eos: bool) -> Vec<TokenId> {
        match specials {
            Specials::Plain => self.encode_protected(text, std::slice::from_ref(&(0..text.len())), add_bos_eos),
            Specials::Parsed => self.encode_protected(text, &[], add_bos_eos),
        }
    }

    /// The ids of a rendered conversation, `text`, of which the byte ranges `messages` came from outside the template.
    ///
    /// Special tokens are recognised only where they touch none of those ranges. `messages` is ascending and does not overlap. BOS is added
    /// where the vocabulary asks for it and the text does not begin with it already; EOS is not added, for an answer is to follow.
    pub fn encode_chat(&self, text: &str, messages: &[Range<usize>]) -> Vec<TokenId> {
        let mut ids = self.encode_protected(text, messages, false);
        if let Some(bos) = self.vocab.bos
            && self.add_bos
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        ids
    }

    /// The ids of text that follows ids given earlier, as `encode_chat` but with nothing added in front.
    pub fn encode_chat_continuation(&self, text: &str, messages: &[Range<usize>]) -> Vec<TokenId> {
        self.encode_protected(text, messages, false)
    }

    /// The byte at which the text's last special token begins. What stands from there on has the same ids whatever stands before it.
    pub fn last_special(&self, text: &str, messages: &[Range<usize>]) -> Option<usize> {
        self.specials.matches(&self.vocab, text, messages).into_iter().last().map(|found| found.range.start)
    }

    fn encode_protected(&self, text: &str, protected: &[Range<usize>], add_bos_eos: bool) -> Vec<TokenId> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        if add_bos_eos && self.add_bos {
            ids.extend(self.vocab.bos);
        }
        let mut start = 0;
        for found in self.specials.matches(&self.vocab, text, protected) {
            self.encode_fragment(&text[start..found.range.start], start == 0, &mut ids);
            ids.push(found.id);
            start = found.range.end;
        }
        self.encode_fragment(&text[start..], start == 0, &mut ids);
        if add_bos_eos && self.add_eos {
            ids.extend(self.vocab.eos);
        }
        ids
    }

    /// A fragment lies between the start of the text or a special token and the end or the next one, so a SentencePiece vocabulary puts its
    /// space in front of each.
    fn encode_fragment(&self, fragment: &str, at_start: bool, ids: &mut Vec<TokenId>) {
        if fragment.is_empty() {
            return;
        }
        match &self.encoder {
            Encoder::SentencePiece(bpe) => bpe.encode(&self.vocab, fragment, ids),
            Encoder::ByteLevel(bpe) => bpe.encode(&self.vocab, fragment, ids),
            Encoder::Gemma(bpe) => bpe.encode(&self.vocab, fragment, ids),
            Encoder::Unigram(unigram) => unigram.encode(&self.vocab, fragment, ids),
            Encoder::Pipeline(pipeline) => pipeline.encode(fragment, at_start, ids),
        }
    }

    /// The text of `ids`, from the start of a text. Special tokens are left out; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        let mut decoder = self.decoder();
        let mut text: String = ids.iter().filter_map(|&id| decoder.push(id)).collect();
        text.extend(decoder.finish());
        text
    }

    /// A streaming decoder for the start of a text: a SentencePiece vocabulary's leading space is dropped.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder::new(&self.vocab, true)
    }

    /// A streaming decoder for text that continues a prompt: no space is dropped.
    pub fn continuation_decoder(&self) -> Decoder<'_> {
        Decoder::new(&self.vocab, false)
    }

    /// The token's text as the vocabulary spells it (`▁the`, `Ġthe`, `<0x0A>`), or `None` for an id outside of it.
    pub fn token_text(&self, id: TokenId) -> Option<&str> {
        self.vocab.text(id)
    }

    /// The id of the token that the vocabulary spells exactly so.
    pub fn token_id(&self, text: &str) -> Option<TokenId> {
        self.vocab.id(text)
    }

    pub fn token_kind(&self, id: TokenId) -> Option<TokenKind> {
        self.vocab.kind(id)
    }

    /// Whether the token marks structure (BOS, turn marks, …) and can come from a template's text only, never from a message's.
    pub fn is_special(&self, id: TokenId) -> bool {
        self.vocab.is_special(id)
    }

    /// Whether the token ends a generation: EOS, EOT and the end-of-turn marks by their usual names.
    pub fn is_eog(&self, id: TokenId) -> bool {
        self.vocab.is_eog(id)
    }

    /// All tokens that end a generation, ascending.
    pub fn eog_ids(&self) -> Vec<TokenId> {
        self.vocab.eog_ids()
    }

    pub fn bos(&self) -> Option<TokenId> {
        self.vocab.bos
    }

    pub fn eos(&self) -> Option<TokenId> {
        self.vocab.eos
    }

    /// Whether `encode` puts BOS in front when asked to add what the vocabulary asks for.
    pub fn adds_bos(&self) -> bool {
        self.add_bos && self.vocab.bos.is_some()
    }

    /// The number of ids, V. An embedding may have more rows than this.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }

    pub fn style(&self) -> VocabStyle {
        self.vocab.style
    }
}

//! Text in and out of a model: the tokenizer.

pub mod tokenizer;

pub use tokenizer::{Decoder, Specials, TokenId, Tokenizer, TokenizerError, VocabSpec};

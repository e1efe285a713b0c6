//! WordPiece, the vocabulary of BERT (Devlin et al. 2019): each word is cut into the longest pieces that the vocabulary has, from the left.
//!
//! The normalizer (control characters, accents, lower case, spaces around Chinese characters), the cut at spaces and punctuation, and the search
//! are those of the `tokenizers` crate.

use tokenizers::models::bpe::Vocab as WordIds;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

use super::TokenizerError;
use super::pipeline::Pipeline;
use super::spec::{VocabSpec, check_limit};
use super::vocab::{Vocab, WordMarks};

/// What marks a piece within a word, in `tokenizer.json` and in the crate.
pub const CONTINUATION: &str = "##";
/// A longer word is the unknown token, as in BERT's own tokenizer.
pub const MAX_WORD_CHARS: usize = 100;
/// What a `tokenizer.json` may ask for instead. The search takes the square of it.
const MOST_WORD_CHARS: usize = 256;

/// The pipeline of a GGUF file. It lower-cases and strips accents unless the file says otherwise.
pub fn pipeline(vocab: &Vocab, spec: &VocabSpec) -> Result<Pipeline, TokenizerError> {
    let normalizer = BertNormalizer::new(true, true, spec.strip_accents, spec.lowercase.unwrap_or(true));
    Ok(Pipeline {
        normalizer: Some(normalizer.into()),
        pre_tokenizer: Some(BertPreTokenizer.into()),
        pre_tokenizer_within: Some(BertPreTokenizer.into()),
        model: model(vocab, WordMarks::Starts, MAX_WORD_CHARS)?.into(),
    })
}

/// Words of the vocabulary's tokens, as `marks` tells where one begins. Tokens of structure stay outside, all but the unknown token.
pub fn model(vocab: &Vocab, marks: WordMarks, max_word_chars: usize) -> Result<WordPiece, TokenizerError> {
    check_limit("characters of a word", max_word_chars, MOST_WORD_CHARS)?;
    let ids = vocab.ids().filter(|&id| vocab.is_mergeable(id));
    let text = |id| vocab.text(id).unwrap_or("");
    let mut pieces: Vec<(String, u32)> = ids
        .filter(|&id| !text(id).is_empty())
        .map(|id| match marks.split(text(id)) {
            (piece, true) => (piece.to_string(), id.0),
            (piece, false) => (format!("{CONTINUATION}{piece}"), id.0),
        })
        .collect();
    let unknown = vocab.unknown.map_or("", text);
    pieces.extend(vocab.unknown.map(|id| (unknown.to_string(), id.0)));
    let builder = WordPiece::builder().vocab(pieces.into_iter().collect::<WordIds>());
    let builder = builder.unk_token(unknown.to_string()).continuing_subword_prefix(CONTINUATION.to_string());
    builder.max_input_chars_per_word(max_word_chars).build().map_err(|e| TokenizerError::WordPiece(e.to_string()))
}

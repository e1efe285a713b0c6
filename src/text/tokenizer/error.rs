//! Why a tokenizer could not be built.

use thiserror::Error;

#[derive(Clone, Debug, Error, PartialEq)]
pub enum TokenizerError {
    #[error(
        "tokenizer model `{0}` is not supported; supported are `llama` (SentencePiece BPE), `gpt2` (byte-level BPE), `gemma4` (SentencePiece pieces with a list of merges), `bert` (WordPiece) and `t5` (unigram)"
    )]
    UnknownModel(String),
    #[error("unknown pre-tokenizer `{name}`; known are {}", .known.join(", "))]
    UnknownPreTokenizer { name: String, known: Vec<&'static str> },
    #[error("the vocabulary is empty: `tokenizer.ggml.tokens` has no entries")]
    Empty,
    #[error("{what}: {found} exceeds the limit of {limit}")]
    TooLarge { what: &'static str, found: usize, limit: usize },
    #[error("`tokenizer.ggml.{what}` has {found} entries, but the vocabulary has {expected} tokens")]
    Length { what: &'static str, found: usize, expected: usize },
    #[error("merge {index} is `{merge}`, not two pieces with a space between them")]
    Merge { index: usize, merge: String },
    #[error("a `gpt2` or `gemma4` vocabulary needs `tokenizer.ggml.merges`, and the file has none")]
    NoMerges,
    #[error("the pre-tokenizer's pattern cannot be compiled: {0}")]
    Pattern(String),
    #[error("the merges cannot be used: {0}")]
    Bpe(String),
    #[error("the words of the vocabulary cannot be used: {0}")]
    WordPiece(String),
    #[error("`tokenizer.ggml.precompiled_charsmap` cannot be used: {0}")]
    Charsmap(String),
    #[error("metadata key `{key}`: expected an array of {expected}")]
    Metadata { key: &'static str, expected: &'static str },
    #[error("the file has no tokenizer (`tokenizer.ggml.model` is absent); give token ids with --tokens instead of text")]
    Absent,
    #[error("`{folder}` has no `tokenizer.json`{beside}; download it into the folder, or give token ids with --tokens instead of text")]
    NoTokenizerJson { folder: String, beside: String },
    #[error("tokenizer.json: {0}")]
    Json(String),
}

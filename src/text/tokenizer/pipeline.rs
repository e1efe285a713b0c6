//! Normalizer, pre-tokenizer and model of the `tokenizers` crate, one after the other, for text without special tokens.

use tokenizers::{Model, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType};
use tokenizers::{PreTokenizedString, PreTokenizer, PreTokenizerWrapper};

use super::TokenId;

pub struct Pipeline {
    pub normalizer: Option<NormalizerWrapper>,
    /// For the start of a text.
    pub pre_tokenizer: Option<PreTokenizerWrapper>,
    /// For what follows a special token: a space that is prepended to the first piece alone is not prepended here.
    pub pre_tokenizer_within: Option<PreTokenizerWrapper>,
    pub model: ModelWrapper,
}

impl Pipeline {
    pub fn encode(&self, fragment: &str, at_start: bool, ids: &mut Vec<TokenId>) {
        if self.try_encode(fragment, at_start, ids).is_err() {
            log::warn!("a fragment of {} bytes could not be encoded and was left out", fragment.len());
        }
    }

    fn try_encode(&self, fragment: &str, at_start: bool, ids: &mut Vec<TokenId>) -> tokenizers::Result<()> {
        let mut normalized = NormalizedString::from(fragment);
        if let Some(normalizer) = &self.normalizer {
            normalizer.normalize(&mut normalized)?;
        }
        let mut pieces = PreTokenizedString::from(normalized);
        let pre_tokenizer = if at_start { &self.pre_tokenizer } else { &self.pre_tokenizer_within };
        if let Some(pre_tokenizer) = pre_tokenizer {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        for (piece, _, _) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            // A piece fails where it would be the unknown token and the vocabulary has none; then it has no ids.
            if let Ok(tokens) = self.model.tokenize(piece) {
                ids.extend(tokens.iter().map(|token| TokenId(token.id)));
            }
        }
        Ok(())
    }
}

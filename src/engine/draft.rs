//! A smaller model that drafts for a larger one of the same vocabulary.

use crate::model::{ModelDrafter, ModelError};
use crate::text::TokenId;

use super::steps::ModelSteps;
use super::{EngineError, LoadedModel};

impl LoadedModel {
    /// What drafts this model's tokens with `smaller`, for [`Generator::set_drafter`](crate::model::Generator::set_drafter).
    ///
    /// # Errors
    /// When the models have different vocabularies, and those of [`LoadedModel::generator`].
    pub fn drafter(&self, smaller: &LoadedModel) -> Result<ModelDrafter<ModelSteps>, EngineError> {
        self.check_vocabulary(smaller)?;
        Ok(ModelDrafter::new(smaller.generator(0)?, smaller.config.vocab_len))
    }

    fn check_vocabulary(&self, smaller: &LoadedModel) -> Result<(), ModelError> {
        let (model, draft) = (&self.config.name, &smaller.config.name);
        let refuse = |what: String| Err(ModelError::OtherVocabulary(format!("{what}: draft with a model of the same vocabulary")));
        let (Ok(own), Ok(other)) = (self.tokenizer(), smaller.tokenizer()) else {
            let (own, other) = (self.config.vocab_len, smaller.config.vocab_len);
            // Ids alone can be compared by their number.
            return match own == other {
                true => Ok(()),
                false => refuse(format!("`{model}` has {own} tokens, the draft model `{draft}` {other}")),
            };
        };
        let (n_own, n_other) = (own.vocab_size(), other.vocab_size());
        if n_own != n_other {
            return refuse(format!("`{model}` has {n_own} tokens, the draft model `{draft}` {n_other}"));
        }
        let differs = (0..n_own as u32).map(TokenId).find(|&id| own.token_text(id) != other.token_text(id));
        differs.map_or(Ok(()), |id| {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let (ours, theirs) = (text(own.token_text(id)), text(other.token_text(id)));
            refuse(format!("token {} is {ours:?} in `{model}`, {theirs:?} in the draft model `{draft}`", id.0))
        })
    }
}

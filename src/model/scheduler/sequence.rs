//! What a sequence is asked to be, and how far it is.

use crate::graph::{CacheId, DeviceTensor, Sampling};
use crate::text::TokenId;

/// A sequence of one scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub(super) u64);

/// What a sequence begins with, and how it goes on.
#[derive(Clone, Debug)]
pub struct Request {
    pub ids: Vec<TokenId>,
    pub sampling: Sampling,
    pub max_tokens: usize,
    /// Tokens that end the sequence.
    pub ends: Vec<TokenId>,
}

/// A sequence that has not ended.
pub(super) struct Sequence {
    pub cache: CacheId,
    pub request: Request,
    /// Positions that the runs so far have fed: those of the prompt, then one for each token drawn.
    pub fed: usize,
    pub n_drawn: usize,
    pub n_given: usize,
    /// The id drawn last, where runs hold one sequence.
    pub newest: Option<DeviceTensor>,
}

impl Sequence {
    pub fn prompt_left(&self) -> usize {
        self.request.ids.len().saturating_sub(self.fed)
    }

    /// Whether another token is wanted whose row can be made now.
    pub fn decodes(&self) -> bool {
        self.prompt_left() == 0 && self.n_drawn < self.request.max_tokens
    }
}

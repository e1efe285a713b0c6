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

impl Request {
    /// What goes on behind the tokens that the sequence has given, as where its device was lost: the same tokens follow, since draws depend on seed and
    /// position alone.
    #[must_use]
    pub fn after(&self, given: &[TokenId]) -> Request {
        let ids = self.ids.iter().chain(given).copied().collect();
        Request { ids, max_tokens: self.max_tokens.saturating_sub(given.len()), ..self.clone() }
    }
}

/// A sequence that has not ended.
pub(super) struct Sequence {
    /// Its keys and values; `None` while it waits for pages.
    pub cache: Option<CacheId>,
    /// The prompt, and the tokens that were given.
    pub ids: Vec<i32>,
    pub sampling: Sampling,
    pub max_tokens: usize,
    pub ends: Vec<TokenId>,
    pub n_prompt: usize,
    /// How many of `ids` the host feeds: the prompt, and once it was put back what it gave before.
    pub n_known: usize,
    /// Positions that the runs so far have fed: those of the known ids, then one for each token drawn.
    pub fed: usize,
    pub n_drawn: usize,
    pub n_given: usize,
    /// Positions that it did not compute itself.
    pub n_reused: usize,
    /// Full pages that later sequences find.
    pub n_kept: usize,
    /// The number of the runs when it was put back.
    pub put_back_at: Option<u64>,
    /// The id drawn last, where runs hold one sequence.
    pub newest: Option<DeviceTensor>,
}

impl Sequence {
    pub fn new(request: Request) -> Sequence {
        let Request { ids, sampling, max_tokens, ends } = request;
        let ids: Vec<i32> = ids.iter().map(|id| id.0 as i32).collect();
        Sequence {
            cache: None,
            n_prompt: ids.len(),
            n_known: ids.len(),
            ids,
            sampling,
            max_tokens,
            ends,
            fed: 0,
            n_drawn: 0,
            n_given: 0,
            n_reused: 0,
            n_kept: 0,
            put_back_at: None,
            newest: None,
        }
    }

    pub fn prompt_left(&self) -> usize {
        self.n_known.saturating_sub(self.fed)
    }

    /// Whether another token is wanted whose row can be made now.
    pub fn decodes(&self) -> bool {
        self.cache.is_some() && self.prompt_left() == 0 && self.n_drawn < self.max_tokens
    }

    /// Whether rows of its prompt can be made now.
    pub fn reads(&self) -> bool {
        self.cache.is_some() && self.prompt_left() > 0
    }

    /// Pages of which each position was fed with an id that is known here.
    pub fn n_full_pages(&self, page: usize) -> usize {
        self.fed.min(self.ids.len()) / page
    }

    /// Whether runs to come fill a page with the tokens with which `other` begins, too. The last of these is fed by `other` itself.
    pub fn computes_for(&self, other: &Sequence, page: usize) -> bool {
        let (own, wanted) = (&self.ids[..self.n_known], &other.ids[..other.ids.len().saturating_sub(1)]);
        // The page that is computed now comes first: most sequences have other tokens there.
        let now = self.fed / page * page;
        self.reads() && own.get(now..now + page).is_some_and(|ids| wanted.get(now..now + page) == Some(ids)) && own[..now] == wanted[..now]
    }

    /// Begins in a cache that holds its first `fed` positions.
    pub fn take_up(&mut self, cache: CacheId, fed: usize, page: usize) {
        (self.cache, self.fed, self.n_kept) = (Some(cache), fed, fed / page);
        if self.put_back_at.is_none() {
            self.n_reused = fed;
        }
    }

    /// Waits again, with all that it gave: what was drawn and not given is drawn once more, which gives the same. Returns its cache.
    pub fn put_back(&mut self, n_runs: u64) -> Option<CacheId> {
        (self.n_known, self.n_drawn) = (self.ids.len(), self.n_given);
        (self.fed, self.n_kept, self.newest) = (0, 0, None);
        self.put_back_at = Some(n_runs);
        self.cache.take()
    }
}

//! What a cache holds: the ids behind its positions, and how far it can be set back.

use crate::graph::CacheSpec;
use crate::text::TokenId;

/// The ids fed so far, by position. Position `len()` is next.
#[derive(Clone, Debug)]
pub struct Context {
    spec: CacheSpec,
    ids: Vec<TokenId>,
    /// One past the highest position that was ever written, surplus steps included.
    written_end: usize,
}

impl Context {
    pub fn new(spec: CacheSpec) -> Self {
        Context { spec, ids: Vec::new(), written_end: 0 }
    }

    pub fn spec(&self) -> &CacheSpec {
        &self.spec
    }

    /// The ids fed so far.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }

    pub fn position(&self) -> usize {
        self.ids.len()
    }

    /// Whether a token is out of view.
    pub fn has_evicted(&self) -> bool {
        self.ids.len() > self.spec.window
    }

    /// Records ids that a run has written, in order.
    pub fn feed(&mut self, ids: &[TokenId]) {
        self.ids.extend_from_slice(ids);
        self.wrote_to(self.ids.len());
    }

    /// Records that a run wrote positions up to `end`, whether or not its tokens are kept.
    pub fn wrote_to(&mut self, end: usize) {
        self.written_end = self.written_end.max(end);
    }

    /// How many leading ids agree with what the cache holds.
    pub fn common_prefix(&self, ids: &[TokenId]) -> usize {
        self.ids.iter().zip(ids).take_while(|(a, b)| a == b).count()
    }

    /// Whether the position can be set back to `position` without feeding anything again: at most U positions always, and more while the pages
    /// with what the query at `position` sees are still held.
    pub fn can_rewind_to(&self, position: usize) -> bool {
        position <= self.ids.len() && self.spec.can_go_back(self.written_end, position)
    }

    /// Sets the position back; nothing is copied.
    pub fn rewind_to(&mut self, position: usize) {
        debug_assert!(self.can_rewind_to(position));
        self.ids.truncate(position);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.written_end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{KvType, PagePool, PageTable};

    /// The page table of what was fed holds all that later queries see.
    #[test]
    fn what_a_rewind_allows_is_held() {
        let spec = CacheSpec {
            n_layers: 1,
            n_kv_heads: 1,
            head_dim: 2,
            window: 20,
            chunk: 16,
            sinks: 4,
            page: 8,
            sequences: 1,
            places: 0,
            kv_type: KvType::F32,
        };
        let (mut n_allowed, mut n_refused) = (0, 0);
        for fed in 0..120usize {
            let mut pool = PagePool::new(spec.n_pages());
            let mut table = PageTable::new(&spec);
            (0..fed).for_each(|p| drop(table.prepare(&mut pool, p, 1).unwrap()));
            let mut context = Context::new(spec);
            context.feed(&vec![TokenId(0); fed]);
            for position in 0..=fed {
                if context.can_rewind_to(position) {
                    n_allowed += 1;
                    for k in (0..position).filter(|&k| spec.sees(position, k)) {
                        assert!(table.holds(k / spec.page), "fed {fed}, set back to {position}, which sees {k}");
                    }
                } else {
                    n_refused += 1;
                    assert!(position + spec.chunk < fed, "fed {fed}, set back to {position}");
                }
            }
            assert!(context.can_rewind_to(fed));
        }
        assert!(n_allowed > 1000 && n_refused > 1000, "{n_allowed} allowed, {n_refused} refused");
    }
}

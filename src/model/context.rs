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

    /// Whether the ring has dropped a token.
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

    /// Whether the position can be set back to `position` without feeding anything again. The slot of position `p` is written next by
    /// `p + R - s`, so what the query at `position` sees is whole while no more than U positions after it were written.
    pub fn can_rewind_to(&self, position: usize) -> bool {
        position <= self.ids.len()
            && (self.written_end <= self.spec.slots || self.written_end - position <= self.spec.slots - self.spec.window)
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
    use crate::graph::KvType;

    fn spec() -> CacheSpec {
        CacheSpec { n_layers: 1, n_kv_heads: 1, head_dim: 2, window: 20, slots: 36, sinks: 4, kv_type: KvType::F32 }
    }

    /// Against a simulation of the ring: whatever `can_rewind_to` allows, every key that later queries see is in its slot.
    #[test]
    fn what_a_rewind_allows_is_in_the_ring() {
        let spec = spec();
        for fed in 0..120usize {
            let mut slots = vec![None; spec.slots];
            let mut context = Context::new(spec);
            for p in 0..fed {
                slots[spec.slot(p)] = Some(p);
            }
            context.feed(&vec![TokenId(0); fed]);
            for position in 0..=fed {
                if context.can_rewind_to(position) {
                    let seen = (0..position).filter(|&k| spec.sees(position, k));
                    for k in seen {
                        assert_eq!(slots[spec.slot(k)], Some(k), "fed {fed}, set back to {position}");
                    }
                }
            }
            assert!(context.can_rewind_to(fed));
        }
    }
}

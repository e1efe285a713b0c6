//! The shape of a key-value cache: what its queries see, and the pages that hold its keys and values.

use std::ops::Range;

/// Positions of a page, where a caller has no reason for another number.
pub const PAGE: usize = 256;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    F32,
    F16,
    Q8_0,
}

/// The shape of a key-value cache. The query at p sees the key at k when `k <= p` and (`k > p - (W - s)` or `k < s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheSpec {
    pub n_layers: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// W: positions in view, sinks included.
    pub window: usize,
    /// U: the most positions that one run writes.
    pub chunk: usize,
    /// s: the first positions, which stay in view. Less than W.
    pub sinks: usize,
    /// Positions of a page, a power of two.
    pub page: usize,
    /// The most sequences that share the memory.
    pub sequences: usize,
    /// P: pages of the memory, enough for one sequence at least. 0 stands for enough for all sequences.
    pub places: usize,
    pub kv_type: KvType,
}

impl CacheSpec {
    /// The most pages that a sequence holds: the pages of its sinks, and the pages of the W - s + U - 1 positions that a run of U tokens sees and
    /// writes. These positions may begin in the middle of a page, so that they take one page more.
    pub fn n_pages(&self) -> usize {
        self.n_sink_pages() + (self.window - self.sinks + self.chunk - 1).div_ceil(self.page) + 1
    }

    /// The first pages, which hold sinks.
    pub fn n_sink_pages(&self) -> usize {
        self.sinks.div_ceil(self.page)
    }

    /// Pages of the memory.
    pub fn n_places(&self) -> usize {
        if self.places == 0 { self.sequences * self.n_pages() } else { self.places }
    }

    /// Positions that the pages of the memory hold.
    pub fn n_positions(&self) -> usize {
        self.n_places() * self.page
    }

    /// Why no memory can be made of this shape.
    pub fn fault(&self) -> Option<String> {
        if self.window <= self.sinks {
            return Some(format!("a cache with {} positions in view cannot keep {} sinks", self.window, self.sinks));
        }
        if self.chunk == 0 || !self.page.is_power_of_two() {
            return Some(format!("a cache takes no runs of {} positions in pages of {}", self.chunk, self.page));
        }
        if self.sequences == 0 || self.n_places() < self.n_pages() {
            let (places, needed) = (self.n_places(), self.n_pages());
            return Some(format!("{places} pages for {} sequences are too few: one sequence holds {needed}", self.sequences));
        }
        None
    }

    /// Whether the query at `p` sees the key at `k`.
    pub fn sees(&self, p: usize, k: usize) -> bool {
        k <= p && (k + (self.window - self.sinks) > p || k < self.sinks)
    }

    /// The positions that queries from `first` to `last` see between them: some sinks, then others, none of which is below s. `limit`: a further
    /// limit `k > p - limit`, 0 for none.
    pub fn in_view(&self, first: usize, last: usize, limit: usize) -> (Range<usize>, Range<usize>) {
        let least = if limit > 0 { (first + 1).saturating_sub(limit) } else { 0 };
        let recent = (first + 1).saturating_sub(self.window - self.sinks).max(self.sinks).max(least);
        let end = last + 1;
        (least.min(self.sinks).min(end)..self.sinks.min(end), recent.min(end)..end)
    }

    /// The first page behind those of the sinks that a sequence still holds when it has held all pages before `end`.
    pub fn first_page_held(&self, end: usize) -> usize {
        let n_recent = self.n_pages() - self.n_sink_pages();
        end.saturating_sub(n_recent).max(self.n_sink_pages())
    }

    /// Whether a sequence of which the positions before `end` were ever written can go on from `position`: what the query there sees, and the pages
    /// that follow, are held.
    pub fn can_go_back(&self, end: usize, position: usize) -> bool {
        let seen = (position + 1).saturating_sub(self.window - self.sinks).max(self.sinks);
        let page = (seen.min(position) / self.page).max(self.n_sink_pages());
        page >= self.first_page_held(end.div_ceil(self.page))
    }
}

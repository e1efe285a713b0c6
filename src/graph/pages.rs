//! Pages of a key-value cache: which are free, and which of them hold the positions of a sequence. Source: Kwon et al., arXiv:2309.06180.
//!
//! Pages are numbered twice. A sequence's pages are numbered by position: page n holds the positions from `n · page` on. The pages of the memory
//! that all sequences share are numbered by place. A table says at which place a page of the sequence lies.

use std::ops::Range;

use super::cache::CacheSpec;

/// Places, and how many hold each: sequences, and what is kept for later ones.
#[derive(Clone, Debug)]
pub struct PagePool {
    n_holders: Vec<u32>,
    /// The place to take next comes last.
    free: Vec<u32>,
}

/// Why a run cannot write its positions, or a sequence not be forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("all {n_pages} pages of the key-value cache are in use")]
    NoneFree { n_pages: usize },
    #[error("{n} tokens at once are more than the {chunk} that the key-value cache takes")]
    TooLong { n: usize, chunk: usize },
    #[error("a sequence cannot be forked at position {position}: it does not hold what is seen from there")]
    NotHeld { position: usize },
}

impl PagePool {
    pub fn new(n_pages: usize) -> Self {
        PagePool { n_holders: vec![0; n_pages], free: (0..n_pages as u32).rev().collect() }
    }

    /// Places that nobody holds.
    pub fn n_free(&self) -> usize {
        self.free.len()
    }

    pub(super) fn take(&mut self) -> Result<u32, PageError> {
        let place = self.free.pop().ok_or(PageError::NoneFree { n_pages: self.n_holders.len() })?;
        self.n_holders[place as usize] = 1;
        Ok(place)
    }

    /// One more holds a place that is held.
    pub(super) fn hold(&mut self, place: u32) {
        self.n_holders[place as usize] += 1;
    }

    pub(super) fn n_holders(&self, place: u32) -> u32 {
        self.n_holders[place as usize]
    }

    pub(super) fn give_back(&mut self, place: u32) {
        let holders = &mut self.n_holders[place as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(place);
        }
    }
}

/// A page that must be copied before it is written, since another sequence holds it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCopy {
    pub from: u32,
    pub to: u32,
}

/// Where the pages of one sequence lie.
///
/// Page n has entry n while it holds sinks, and entry `n_sink_pages + n mod 2^i` otherwise, with so many entries that no two pages that are held share
/// one: kernels find an entry without a table of their own.
#[derive(Clone, Debug)]
pub struct PageTable {
    spec: CacheSpec,
    entries: Vec<u32>,
    /// The first page behind those of the sinks that is held; pages from `end` on were never mapped.
    first: usize,
    end: usize,
}

impl PageTable {
    pub fn new(spec: &CacheSpec) -> Self {
        PageTable { spec: *spec, entries: vec![0; PageTable::len_of(spec)], first: spec.n_sink_pages(), end: 0 }
    }

    /// Entries of a table.
    pub fn len_of(spec: &CacheSpec) -> usize {
        spec.n_sink_pages() + PageTable::n_recent(spec)
    }

    /// Entries of pages without sinks: a power of two.
    pub fn n_recent(spec: &CacheSpec) -> usize {
        (spec.n_pages() - spec.n_sink_pages()).next_power_of_two()
    }

    /// Places by entry.
    pub fn entries(&self) -> &[u32] {
        &self.entries
    }

    fn entry(&self, page: usize) -> usize {
        let n_sinks = self.spec.n_sink_pages();
        if page < n_sinks { page } else { n_sinks + page % PageTable::n_recent(&self.spec) }
    }

    /// Where a position of a page that is held lies, in positions of the memory.
    pub fn place(&self, position: usize) -> usize {
        let page = position / self.spec.page;
        self.entries[self.entry(page)] as usize * self.spec.page + position % self.spec.page
    }

    /// Where a page that is held lies, in pages of the memory.
    pub(super) fn place_of_page(&self, page: usize) -> Option<u32> {
        self.holds(page).then(|| self.entries[self.entry(page)])
    }

    /// Whether no page was ever mapped.
    pub(super) fn is_new(&self) -> bool {
        self.end == 0
    }

    /// Whether the page is held.
    pub fn holds(&self, page: usize) -> bool {
        page < self.end && (page < self.spec.n_sink_pages() || page >= self.first)
    }

    /// The pages that are held.
    fn held(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.spec.n_sink_pages().min(self.end)).chain(self.first..self.end)
    }

    /// Takes the pages into which a run writes `n` positions from `position` on. The positions follow those that the sequence has written, or
    /// replace some of them. The sequence gives back the pages that no later query sees. Where it no longer holds the page of `position`, it begins
    /// anew there; a caller that needs what came before asks [`CacheSpec::can_go_back`] first. Returns the pages that the caller must copy before
    /// the run, and whether the table changed.
    ///
    /// # Errors
    /// When no place is left, and for more than U positions; nothing has changed then.
    pub fn prepare(&mut self, pool: &mut PagePool, position: usize, n: usize) -> Result<(Vec<PageCopy>, bool), PageError> {
        if n > self.spec.chunk {
            return Err(PageError::TooLong { n, chunk: self.spec.chunk });
        }
        let (first, end) = (position / self.spec.page, (position + n).div_ceil(self.spec.page));
        let is_own = |page: usize| self.holds(page) && pool.n_holders[self.entries[self.entry(page)] as usize] == 1;
        if (first..end).all(is_own) {
            return Ok((Vec::new(), false));
        }
        let (mut table, mut places) = (self.clone(), pool.clone());
        let mut copies = Vec::new();
        if (first..end.min(table.end)).any(|page| !table.holds(page)) {
            table.forget_from(&mut places, first);
        }
        for page in first..end.min(table.end) {
            let entry = table.entry(page);
            let from = table.entries[entry];
            if places.n_holders[from as usize] > 1 {
                let to = places.take()?;
                places.give_back(from);
                table.entries[entry] = to;
                copies.push(PageCopy { from, to });
            }
        }
        table.map_to(&mut places, end)?;
        (*self, *pool) = (table, places);
        Ok((copies, true))
    }

    /// Gives the pages from `page` on back.
    fn forget_from(&mut self, pool: &mut PagePool, page: usize) {
        for gone in self.held().filter(|&held| held >= page) {
            pool.give_back(self.entries[self.entry(gone)]);
        }
        self.end = page;
        self.first = self.first.min(page.max(self.spec.n_sink_pages()));
    }

    /// Maps the pages before `end`, and gives back those that are not held besides them.
    fn map_to(&mut self, pool: &mut PagePool, end: usize) -> Result<(), PageError> {
        let first = self.spec.first_page_held(end.max(self.end)).max(self.first);
        for gone in self.first..first.min(self.end) {
            pool.give_back(self.entries[self.entry(gone)]);
        }
        self.first = first;
        while self.end < end {
            if self.end >= self.spec.n_sink_pages() && self.end < first {
                // Positions that no query will see were never written.
                self.end = first;
                continue;
            }
            let (entry, place) = (self.entry(self.end), pool.take()?);
            self.entries[entry] = place;
            self.end += 1;
        }
        Ok(())
    }

    /// A sequence with the same positions before `position`.
    ///
    /// # Errors
    /// Where a position that is seen from there is not held.
    pub fn fork(&self, pool: &mut PagePool, position: usize) -> Result<PageTable, PageError> {
        let (sinks, recent) = self.spec.in_view(position, position, 0);
        let pages = |seen: Range<usize>| (seen.start / self.spec.page)..seen.end.min(position).div_ceil(self.spec.page);
        if pages(sinks).chain(pages(recent)).any(|page| !self.holds(page)) {
            return Err(PageError::NotHeld { position });
        }
        let mut fork = self.clone();
        fork.end = fork.end.min(position.div_ceil(self.spec.page));
        fork.first = fork.first.min(fork.end.max(self.spec.n_sink_pages()));
        for page in fork.held() {
            pool.n_holders[fork.entries[fork.entry(page)] as usize] += 1;
        }
        Ok(fork)
    }

    /// Gives a new sequence its first `n` pages, which others hold: those that it would hold had it written them. `places`: by page, of which those
    /// that it holds are looked at.
    pub(super) fn adopt(&mut self, pool: &mut PagePool, places: &[Option<u32>], n: usize) {
        (self.first, self.end) = (self.spec.first_page_held(n), n);
        for page in self.held() {
            let entry = self.entry(page);
            if let Some(place) = places[page] {
                pool.hold(place);
                self.entries[entry] = place;
            }
        }
    }

    /// Gives all pages back.
    pub fn release(self, pool: &mut PagePool) {
        for page in self.held() {
            pool.give_back(self.entries[self.entry(page)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::KvType;
    use super::*;

    fn spec() -> CacheSpec {
        CacheSpec {
            n_layers: 1,
            n_kv_heads: 1,
            head_dim: 2,
            window: 20,
            chunk: 7,
            sinks: 5,
            page: 4,
            sequences: 1,
            places: 0,
            kv_type: KvType::F32,
        }
    }

    /// A sequence, and what it should hold: the value written last at each position.
    struct Sequence {
        table: PageTable,
        written: Vec<u64>,
        /// One past the highest position that was ever written.
        end: usize,
    }

    /// Every position that the next query sees is found with what was written there, by this sequence or the one that it was forked from.
    fn check(sequence: &Sequence, memory: &[u64]) {
        let next = sequence.written.len();
        let (sinks, recent) = sequence.table.spec.in_view(next, next, 0);
        for k in sinks.chain(recent).filter(|&k| k < next) {
            assert!(sequence.table.holds(k / 4), "position {k} of {next}");
            assert_eq!(memory[sequence.table.place(k)], sequence.written[k], "position {k} of {next}");
        }
    }

    /// Random writes, goings back, forks and endings of up to six sequences in a memory that is too small for all of them.
    #[test]
    fn sequences_find_what_they_wrote() {
        let (spec, n_places) = (spec(), 24);
        let mut pool = PagePool::new(n_places);
        let mut memory = vec![0; n_places * spec.page];
        let mut sequences: Vec<Sequence> = Vec::new();
        let mut state = 1u64;
        let mut random = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n
        };
        let (mut n_refused, mut n_copied, mut n_forks) = (0, 0, 0);
        for value in 0..100_000u64 {
            match random(8) {
                0 if sequences.len() < 6 => sequences.push(Sequence { table: PageTable::new(&spec), written: Vec::new(), end: 0 }),
                1 if !sequences.is_empty() && random(4) == 0 => {
                    let sequence = sequences.swap_remove(random(sequences.len()));
                    sequence.table.release(&mut pool);
                }
                2 if !sequences.is_empty() && sequences.len() < 6 => {
                    let of = &sequences[random(sequences.len())];
                    n_forks += 1;
                    let fork =
                        Sequence { table: of.table.fork(&mut pool, of.written.len()).unwrap(), written: of.written.clone(), end: of.end };
                    sequences.push(fork);
                }
                3 if !sequences.is_empty() => {
                    let n = sequences.len();
                    let sequence = &mut sequences[random(n)];
                    let back = sequence.written.len().saturating_sub(random(6));
                    if spec.can_go_back(sequence.end, back) {
                        sequence.written.truncate(back);
                    }
                }
                _ if !sequences.is_empty() => {
                    let n = sequences.len();
                    let sequence = &mut sequences[random(n)];
                    let (position, n) = (sequence.written.len(), 1 + random(spec.chunk));
                    match sequence.table.prepare(&mut pool, position, n) {
                        Err(_) => n_refused += 1,
                        Ok((copies, _)) => {
                            n_copied += copies.len();
                            for PageCopy { from, to } in copies {
                                memory.copy_within(from as usize * 4..from as usize * 4 + 4, to as usize * 4);
                            }
                            for p in position..position + n {
                                memory[sequence.table.place(p)] = value + 1;
                                sequence.written.push(value + 1);
                            }
                            sequence.end = sequence.end.max(position + n);
                        }
                    }
                }
                _ => {}
            }
            sequences.iter().for_each(|sequence| check(sequence, &memory));
        }
        assert!(n_refused > 100 && n_copied > 100 && n_forks > 100, "{n_refused} refused, {n_copied} copied, {n_forks} forks");
        sequences.into_iter().for_each(|sequence| sequence.table.release(&mut pool));
        assert_eq!(pool.n_free(), n_places);
    }

    /// A conversation that was long is forgotten, and another one begins.
    #[test]
    fn a_sequence_that_begins_anew_holds_what_it_writes() {
        let spec = spec();
        let mut pool = PagePool::new(spec.n_pages());
        let mut table = PageTable::new(&spec);
        for length in [200, 3, 90, 40] {
            let mut memory = vec![0; spec.n_positions()];
            for p in 0..length {
                table.prepare(&mut pool, p, 1).unwrap();
                memory[table.place(p)] = p + 1;
                let (sinks, recent) = spec.in_view(p, p, 0);
                assert!(sinks.chain(recent).all(|k| memory[table.place(k)] == k + 1), "at {p} of {length}");
            }
        }
        table.release(&mut pool);
        assert_eq!(pool.n_free(), spec.n_pages());
    }

    #[test]
    fn a_position_far_ahead_takes_no_more_pages_than_a_sequence_holds() {
        let spec = spec();
        let mut pool = PagePool::new(spec.n_pages());
        let mut table = PageTable::new(&spec);
        table.prepare(&mut pool, 4_000_000_000, 7).unwrap();
        table.place(4_000_000_006);
        assert!(table.holds(0) && table.holds(1) && !table.holds(2));
        table.release(&mut pool);
        assert_eq!(pool.n_free(), spec.n_pages());
    }
}

//! The sequences of an executor, the memories that they share, and which pages of a memory hold the positions of each.
//!
//! A backend brings what it allocates for a memory (`M`), copies the pages that [`Sequences::prepare`] names, and gives its device the tables that
//! changed. Everything else about pages is here: also which full pages stay for later sequences that begin with the same tokens.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use super::cache::CacheSpec;
use super::executor::{CacheId, ExecError};
use super::node::Origin;
use super::pages::{PageCopy, PageError, PagePool, PageTable};
use super::prefixes::{Prefix, Prefixes};

/// Sequences by `CacheId`, which names none again once it was freed.
pub struct Sequences<M> {
    memories: HashMap<u32, Memory<M>>,
    sequences: HashMap<u32, Sequence>,
    next: u32,
}

struct Memory<M> {
    device: M,
    spec: CacheSpec,
    pool: PagePool,
    prefixes: Prefixes,
    /// By number of a sequence: whether there is one.
    numbers: Vec<bool>,
}

struct Sequence {
    /// That of the first sequence in it.
    memory: u32,
    number: usize,
    table: PageTable,
    /// The tokens of its full pages, as far as they were kept ([`Sequences::keep`]).
    prefix: Option<Arc<Prefix>>,
}

/// A sequence and where it lies.
pub struct PagedSequence<'a, M> {
    pub memory: &'a M,
    pub spec: &'a CacheSpec,
    /// Which of the memory's sequences it is, below `CacheSpec::sequences`; a later sequence may have the number of one that ended.
    pub number: usize,
    pub table: &'a PageTable,
}

impl<M> Clone for PagedSequence<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for PagedSequence<'_, M> {}

/// What a backend does before a run that writes a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// In this order.
    pub copies: Vec<PageCopy>,
    pub table_changed: bool,
}

impl<M> Default for Sequences<M> {
    fn default() -> Self {
        Sequences { memories: HashMap::new(), sequences: HashMap::new(), next: 0 }
    }
}

impl<M> Sequences<M> {
    /// Memory of this shape, and a first sequence in it.
    ///
    /// # Errors
    /// For a shape of which no memory can be made, and those of `allocate`.
    pub fn start(&mut self, spec: &CacheSpec, allocate: impl FnOnce() -> Result<M, ExecError>) -> Result<CacheId, ExecError> {
        if let Some(message) = spec.fault() {
            return Err(unsupported(message));
        }
        let (pool, numbers) = (PagePool::new(spec.n_places()), vec![false; spec.sequences]);
        let memory = Memory { device: allocate()?, spec: *spec, pool, prefixes: Prefixes::default(), numbers };
        self.memories.insert(self.next, memory);
        self.insert(self.next, PageTable::new(spec), None)
    }

    /// An empty sequence in the memory of another one.
    ///
    /// # Errors
    /// When the memory has no room for one more, and for one that was freed.
    pub fn add(&mut self, beside: CacheId) -> Result<CacheId, ExecError> {
        let memory = self.sequence(beside)?.memory;
        let table = PageTable::new(&self.memories[&memory].spec);
        self.insert(memory, table, None)
    }

    /// A sequence that holds what another one holds before `position`.
    ///
    /// # Errors
    /// As `add`, and where the other one no longer holds what the query at `position` sees.
    pub fn fork(&mut self, of: CacheId, position: usize) -> Result<CacheId, ExecError> {
        let sequence = self.sequences.get(&of.0).ok_or_else(|| freed(of))?;
        let number = sequence.memory;
        let memory = self.memories.get_mut(&number).ok_or_else(|| freed(of))?;
        // A fork that finds no number would hold pages that nobody gives back.
        memory.free_number()?;
        let table = sequence.table.fork(&mut memory.pool, position)?;
        let prefix = first_pages(sequence.prefix.clone(), position / memory.spec.page);
        self.insert(number, table, prefix)
    }

    fn insert(&mut self, memory: u32, table: PageTable, prefix: Option<Arc<Prefix>>) -> Result<CacheId, ExecError> {
        let id = self.next;
        let of = self.memories.get_mut(&memory).ok_or_else(|| freed(CacheId(memory)))?;
        let number = of.free_number()?;
        of.numbers[number] = true;
        self.next += 1;
        self.sequences.insert(id, Sequence { memory, number, table, prefix });
        Ok(CacheId(id))
    }

    /// Ends a sequence; the last one of a memory ends that, too, which is given back.
    pub fn end(&mut self, id: CacheId) -> Option<M> {
        let Sequence { memory, number, table, .. } = self.sequences.remove(&id.0)?;
        let of = self.memories.get_mut(&memory)?;
        table.release(&mut of.pool);
        of.numbers[number] = false;
        if of.numbers.contains(&true) { None } else { self.memories.remove(&memory).map(|memory| memory.device) }
    }

    fn sequence(&self, id: CacheId) -> Result<&Sequence, ExecError> {
        self.sequences.get(&id.0).ok_or_else(|| freed(id))
    }

    /// A sequence and where it lies.
    ///
    /// # Errors
    /// For one that was freed.
    pub fn get(&self, id: CacheId) -> Result<PagedSequence<'_, M>, ExecError> {
        let Sequence { memory, number, table, .. } = self.sequence(id)?;
        let memory = self.memories.get(memory).ok_or_else(|| freed(id))?;
        Ok(PagedSequence { memory: &memory.device, spec: &memory.spec, number: *number, table })
    }

    /// Takes the pages for a run that writes `n` positions of a sequence from `position` on ([`PageTable::prepare`]). Where none is free, pages that
    /// were kept and that no sequence holds are given up, those first that were unused for longest.
    ///
    /// # Errors
    /// For a sequence that was freed, when no page is left, and for more positions than a run writes; nothing has changed then.
    pub fn prepare(&mut self, id: CacheId, position: usize, n: usize) -> Result<Prepared, ExecError> {
        let sequence = self.sequences.get_mut(&id.0).ok_or_else(|| freed(id))?;
        let memory = self.memories.get_mut(&sequence.memory).ok_or_else(|| freed(id))?;
        let (copies, table_changed) = loop {
            match sequence.table.prepare(&mut memory.pool, position, n) {
                Err(PageError::NoneFree { .. }) if memory.prefixes.give_up_oldest(&mut memory.pool) => {}
                prepared => break prepared?,
            }
        };
        // What is written now may hold other tokens.
        sequence.prefix = first_pages(sequence.prefix.take(), position / memory.spec.page);
        Ok(Prepared { copies, table_changed })
    }

    /// Keeps the full pages of a sequence whose first tokens are `ids`, so that later sequences of the memory find them. Runs have written these
    /// positions, and each id of a page that was kept before is the same.
    ///
    /// # Errors
    /// For a sequence that was freed.
    pub fn keep(&mut self, id: CacheId, ids: &[i32]) -> Result<(), ExecError> {
        let sequence = self.sequences.get_mut(&id.0).ok_or_else(|| freed(id))?;
        let Memory { spec, pool, prefixes, .. } = self.memories.get_mut(&sequence.memory).ok_or_else(|| freed(id))?;
        let first = sequence.prefix.as_ref().map_or(0, |prefix| prefix.n_pages);
        for (page, ids) in ids.chunks_exact(spec.page).enumerate().skip(first) {
            let prefix = Prefix::after(sequence.prefix.take(), ids);
            sequence.prefix = Some(prefixes.keep(pool, prefix, sequence.table.place_of_page(page)));
        }
        Ok(())
    }

    /// Gives an empty sequence the pages that are kept of one that begins with `ids`; how many of its first positions it holds now. One of `ids` at
    /// least is left, for a run that draws what follows.
    ///
    /// # Errors
    /// For a sequence that was freed.
    pub fn reuse(&mut self, id: CacheId, ids: &[i32]) -> Result<usize, ExecError> {
        let sequence = self.sequences.get_mut(&id.0).ok_or_else(|| freed(id))?;
        let Memory { spec, pool, prefixes, .. } = self.memories.get_mut(&sequence.memory).ok_or_else(|| freed(id))?;
        let ids = ids.split_last().map_or(&[][..], |(_, ids)| ids);
        if !sequence.table.is_new() {
            return Ok(0);
        }
        let (mut prefix, mut places) = (None, Vec::new());
        // The longest beginning of which all is kept that a sequence would still hold: its pages, and its tokens.
        let mut longest = None;
        let mut found_from = 0;
        for (page, ids) in ids.chunks_exact(spec.page).enumerate() {
            let next = Prefix::after(prefix.take(), ids);
            let found = prefixes.find(&next);
            places.push(found.as_ref().map(|&(_, place)| place));
            if found.is_none() {
                found_from = page + 1;
            }
            let next = found.map_or_else(|| Arc::new(next), |(kept, _)| kept);
            let n = page + 1;
            let has_sinks = places[..n.min(spec.n_sink_pages())].iter().all(Option::is_some);
            if has_sinks && found_from <= spec.first_page_held(n).min(page) {
                longest = Some((n, next.clone()));
            }
            prefix = Some(next);
        }
        let Some((n, prefix)) = longest else { return Ok(0) };
        sequence.table.adopt(pool, &places, n);
        prefixes.touch(&prefix);
        sequence.prefix = Some(prefix);
        Ok(n * spec.page)
    }

    /// What the backend allocated.
    pub fn memories(&self) -> impl Iterator<Item = &M> {
        self.memories.values().map(|memory| &memory.device)
    }

    /// Pages that no sequence in the memory of this one holds; those that are kept are among them.
    ///
    /// # Errors
    /// For a sequence that was freed.
    pub fn n_free_pages(&self, beside: CacheId) -> Result<usize, ExecError> {
        let memory = self.sequence(beside)?.memory;
        Ok(self.memories.get(&memory).map_or(0, |memory| memory.pool.n_free() + memory.prefixes.n_unused(&memory.pool)))
    }
}

impl<M> Memory<M> {
    /// The number of the next sequence.
    fn free_number(&self) -> Result<usize, ExecError> {
        let most = self.numbers.len();
        let full = || unsupported(format!("the key-value cache holds {most} sequences of at most {most}: end one first"));
        self.numbers.iter().position(|taken| !taken).ok_or_else(full)
    }
}

/// The first pages of a prefix.
fn first_pages(mut prefix: Option<Arc<Prefix>>, n_pages: usize) -> Option<Arc<Prefix>> {
    while let Some(longer) = prefix.take_if(|prefix| prefix.n_pages > n_pages) {
        prefix = longer.before.clone();
    }
    prefix
}

impl From<PageError> for ExecError {
    fn from(error: PageError) -> ExecError {
        match error {
            PageError::NoneFree { n_pages } => ExecError::NoPages { n_pages },
            PageError::TooLong { .. } | PageError::NotHeld { .. } => unsupported(error.to_string()),
        }
    }
}

fn freed(id: CacheId) -> ExecError {
    unsupported(format!("there is no cache {}", id.0))
}

fn unsupported(message: String) -> ExecError {
    ExecError::Unsupported { message, origin: Origin::default() }
}

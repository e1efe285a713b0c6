//! The sequences of an executor, the memories that they share, and which pages of a memory hold the positions of each.
//!
//! A backend brings what it allocates for a memory (`M`), copies the pages that [`Sequences::prepare`] names, and gives its device the tables that
//! changed. Everything else about pages is here.

use std::collections::HashMap;

use super::cache::CacheSpec;
use super::executor::{CacheId, ExecError};
use super::node::Origin;
use super::pages::{PageCopy, PageError, PagePool, PageTable};

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
    /// By number of a sequence: whether there is one.
    numbers: Vec<bool>,
}

struct Sequence {
    /// That of the first sequence in it.
    memory: u32,
    number: usize,
    table: PageTable,
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
        let memory =
            Memory { device: allocate()?, spec: *spec, pool: PagePool::new(spec.n_places()), numbers: vec![false; spec.sequences] };
        self.memories.insert(self.next, memory);
        self.insert(self.next, PageTable::new(spec))
    }

    /// An empty sequence in the memory of another one.
    ///
    /// # Errors
    /// When the memory has no room for one more, and for one that was freed.
    pub fn add(&mut self, beside: CacheId) -> Result<CacheId, ExecError> {
        let memory = self.sequence(beside)?.memory;
        let table = PageTable::new(&self.memories[&memory].spec);
        self.insert(memory, table)
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
        self.insert(number, table)
    }

    fn insert(&mut self, memory: u32, table: PageTable) -> Result<CacheId, ExecError> {
        let id = self.next;
        let of = self.memories.get_mut(&memory).ok_or_else(|| freed(CacheId(memory)))?;
        let number = of.free_number()?;
        of.numbers[number] = true;
        self.next += 1;
        self.sequences.insert(id, Sequence { memory, number, table });
        Ok(CacheId(id))
    }

    /// Ends a sequence; the last one of a memory ends that, too, which is given back.
    pub fn end(&mut self, id: CacheId) -> Option<M> {
        let Sequence { memory, number, table } = self.sequences.remove(&id.0)?;
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
        let Sequence { memory, number, table } = self.sequence(id)?;
        let memory = self.memories.get(memory).ok_or_else(|| freed(id))?;
        Ok(PagedSequence { memory: &memory.device, spec: &memory.spec, number: *number, table })
    }

    /// Takes the pages for a run that writes `n` positions of a sequence from `position` on ([`PageTable::prepare`]).
    ///
    /// # Errors
    /// For a sequence that was freed, when no page is left, and for more positions than a run writes; nothing has changed then.
    pub fn prepare(&mut self, id: CacheId, position: usize, n: usize) -> Result<Prepared, ExecError> {
        let sequence = self.sequences.get_mut(&id.0).ok_or_else(|| freed(id))?;
        let memory = self.memories.get_mut(&sequence.memory).ok_or_else(|| freed(id))?;
        let (copies, table_changed) = sequence.table.prepare(&mut memory.pool, position, n)?;
        Ok(Prepared { copies, table_changed })
    }

    /// What the backend allocated.
    pub fn memories(&self) -> impl Iterator<Item = &M> {
        self.memories.values().map(|memory| &memory.device)
    }

    /// Pages that no sequence in the memory of this one holds.
    ///
    /// # Errors
    /// For a sequence that was freed.
    pub fn n_free_pages(&self, beside: CacheId) -> Result<usize, ExecError> {
        let memory = self.sequence(beside)?.memory;
        Ok(self.memories.get(&memory).map_or(0, |memory| memory.pool.n_free()))
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

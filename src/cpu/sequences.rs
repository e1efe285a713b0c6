//! The sequences of an executor, and the memories that they share.

use std::collections::HashMap;

use crate::graph::{CacheId, CacheSpec, ExecError, Origin};

use super::cache::{KvMemory, Sequence};

/// Sequences by `CacheId`, which names none again once it was freed.
#[derive(Default)]
pub(super) struct Sequences {
    memories: HashMap<u32, KvMemory>,
    /// Each with the number of its memory, which is that of the first sequence in it.
    sequences: HashMap<u32, (u32, Sequence)>,
    next: u32,
}

impl Sequences {
    /// Memory of this shape, and a first sequence in it. With `poison` it is filled with NaN bits.
    ///
    /// # Errors
    /// Out of memory, or a shape of which no memory can be made.
    pub fn start(&mut self, spec: &CacheSpec, poison: bool) -> Result<CacheId, ExecError> {
        let memory = KvMemory::new(spec)?;
        if poison {
            memory.poison();
        }
        self.memories.insert(self.next, memory);
        Ok(self.insert(self.next, Sequence::new(spec)))
    }

    /// An empty sequence in the memory of another one.
    ///
    /// # Errors
    /// When the memory has no room for one more.
    pub fn add(&mut self, beside: CacheId) -> Result<CacheId, ExecError> {
        let memory = self.memory_with_room(beside)?;
        let sequence = Sequence::new(&self.memories[&memory].spec);
        Ok(self.insert(memory, sequence))
    }

    /// A sequence that holds what another one holds before `position`.
    ///
    /// # Errors
    /// When the memory has no room for one more, and where the other one no longer holds what the query at `position` sees.
    pub fn fork(&mut self, of: CacheId, position: usize) -> Result<CacheId, ExecError> {
        let memory = self.memory_with_room(of)?;
        let (Some(pages), Some((_, sequence))) = (self.memories.get_mut(&memory), self.sequences.get(&of.0)) else {
            return Err(freed(of));
        };
        let fork = sequence.fork(pages, position).map_err(|e| device(e.to_string()))?;
        Ok(self.insert(memory, fork))
    }

    fn memory_with_room(&self, beside: CacheId) -> Result<u32, ExecError> {
        let memory = self.sequences.get(&beside.0).ok_or_else(|| freed(beside))?.0;
        let (most, n) = (self.memories[&memory].spec.sequences, self.sequences.values().filter(|(of, _)| *of == memory).count());
        if n >= most {
            return Err(device(format!("the key-value cache holds {n} sequences of at most {most}: end one first")));
        }
        Ok(memory)
    }

    fn insert(&mut self, memory: u32, sequence: Sequence) -> CacheId {
        let id = self.next;
        self.next += 1;
        self.sequences.insert(id, (memory, sequence));
        CacheId(id)
    }

    /// Ends a sequence; the last one of a memory frees it.
    pub fn end(&mut self, id: CacheId) {
        let Some((memory, sequence)) = self.sequences.remove(&id.0) else { return };
        if self.sequences.values().all(|(of, _)| *of != memory) {
            self.memories.remove(&memory);
        } else if let Some(memory) = self.memories.get_mut(&memory) {
            sequence.release(memory);
        }
    }

    /// A sequence and its memory.
    ///
    /// # Errors
    /// For one that was freed.
    pub fn get(&self, id: CacheId) -> Result<(&KvMemory, &Sequence), ExecError> {
        let (memory, sequence) = self.sequences.get(&id.0).ok_or_else(|| freed(id))?;
        Ok((&self.memories[memory], sequence))
    }

    /// Makes pages for a run that writes `n` positions of a sequence from `position` on, and copies those that other sequences hold too.
    ///
    /// # Errors
    /// For a sequence that was freed, when no page is left, and for more positions than a run writes.
    pub fn prepare(&mut self, id: CacheId, position: usize, n: usize) -> Result<(), ExecError> {
        let (memory, sequence) = self.sequences.get_mut(&id.0).ok_or_else(|| freed(id))?;
        let memory = self.memories.get_mut(memory).ok_or_else(|| freed(id))?;
        sequence.prepare(memory, position, n).map_err(|e| device(e.to_string()))
    }

    pub fn n_memories(&self) -> usize {
        self.memories.len()
    }

    pub fn len_bytes(&self) -> usize {
        self.memories.values().map(KvMemory::len_bytes).sum()
    }
}

fn freed(id: CacheId) -> ExecError {
    device(format!("there is no cache {}", id.0))
}

fn device(message: String) -> ExecError {
    ExecError::Device { message, origin: Origin::default() }
}

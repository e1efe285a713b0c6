//! The programs of an executor: found by what they were compiled from, counted by who uses them, bounded where nobody does.

use std::collections::HashMap;
use std::sync::Arc;

use super::executor::{CompileOptions, ProgramId};
use super::key::GraphKey;

/// What a program was compiled from.
pub type ProgramKey = (GraphKey, CompileOptions);

/// Programs that nobody uses are kept up to this many: a program of the language compiles each shape that it meets anew, and meets most of
/// them again.
const MOST_UNUSED: usize = 256;

/// Programs by id and by key. Ids are never given twice.
#[derive(Debug)]
pub struct Programs<P> {
    by_id: HashMap<u32, Entry<P>>,
    by_key: HashMap<Arc<ProgramKey>, u32>,
    next_id: u32,
    clock: u64,
    n_unused: usize,
}

#[derive(Debug)]
struct Entry<P> {
    program: P,
    key: Option<Arc<ProgramKey>>,
    /// How often it was given out and not yet released.
    users: usize,
    /// When it was last run or given out.
    used: u64,
}

impl<P> Default for Programs<P> {
    fn default() -> Self {
        Programs { by_id: HashMap::new(), by_key: HashMap::new(), next_id: 0, clock: 0, n_unused: 0 }
    }
}

impl<P> Programs<P> {
    /// The program of an equal graph, given to one more user.
    pub fn find(&mut self, key: &ProgramKey) -> Option<ProgramId> {
        let &id = self.by_key.get(key)?;
        let entry = self.by_id.get_mut(&id)?;
        if entry.users == 0 {
            self.n_unused -= 1;
        }
        entry.users += 1;
        self.touch(id);
        Some(ProgramId(id))
    }

    /// Keeps a new program, which has one user. Without a key it is found by its id alone.
    pub fn insert(&mut self, key: Option<ProgramKey>, program: P) -> ProgramId {
        let id = self.next_id;
        self.next_id += 1;
        let key = key.map(Arc::new);
        if let Some(key) = &key {
            self.by_key.insert(key.clone(), id);
        }
        self.by_id.insert(id, Entry { program, key, users: 1, used: 0 });
        self.touch(id);
        ProgramId(id)
    }

    /// The program for a run, which counts as a use of it.
    pub fn get_mut(&mut self, id: ProgramId) -> Option<&mut P> {
        self.touch(id.0);
        self.by_id.get_mut(&id.0).map(|entry| &mut entry.program)
    }

    pub fn get(&self, id: ProgramId) -> Option<&P> {
        self.by_id.get(&id.0).map(|entry| &entry.program)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut P> {
        self.by_id.values_mut().map(|entry| &mut entry.program)
    }

    /// One user fewer. Gives the programs that are dropped for it: the older half of the unused ones, where these are too many.
    pub fn release(&mut self, id: ProgramId) -> Vec<P> {
        let Some(entry) = self.by_id.get_mut(&id.0) else { return Vec::new() };
        let was_used = entry.users > 0;
        entry.users = entry.users.saturating_sub(1);
        if was_used && entry.users == 0 {
            self.n_unused += 1;
        }
        if self.n_unused <= MOST_UNUSED {
            return Vec::new();
        }
        let mut times: Vec<u64> = self.by_id.values().filter(|entry| entry.users == 0).map(|entry| entry.used).collect();
        let middle = times.len() / 2;
        let (_, &mut middle, _) = times.select_nth_unstable(middle);
        self.take(|entry| entry.users == 0 && entry.used < middle)
    }

    /// Takes out the programs that `is_gone` names, whoever uses them.
    pub fn remove_if(&mut self, is_gone: impl Fn(&P) -> bool) -> Vec<P> {
        self.take(|entry| is_gone(&entry.program))
    }

    /// From now on no program is found by its key.
    pub fn forget_keys(&mut self) {
        self.by_key.clear();
    }

    fn take(&mut self, is_taken: impl Fn(&Entry<P>) -> bool) -> Vec<P> {
        let ids: Vec<u32> = self.by_id.iter().filter(|(_, entry)| is_taken(entry)).map(|(&id, _)| id).collect();
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(entry) = self.by_id.remove(&id) else { continue };
            if entry.users == 0 {
                self.n_unused -= 1;
            }
            if let Some(key) = entry.key
                && self.by_key.get(&key) == Some(&id)
            {
                self.by_key.remove(&key);
            }
            taken.push(entry.program);
        }
        taken
    }

    fn touch(&mut self, id: u32) {
        self.clock += 1;
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.used = self.clock;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::tensor::DType;

    fn key(n: usize) -> ProgramKey {
        let mut graph = Graph::new();
        let input = graph.input([n], DType::F32);
        (graph.key(&[input]), CompileOptions { fuse: true, caches: Vec::new() })
    }

    #[test]
    fn unused_programs_are_bounded_and_those_in_use_stay() {
        let mut programs = Programs::default();
        let held = programs.insert(Some(key(0)), 0usize);
        let mut n_dropped = 0;
        for n in 1..3000 {
            let id = programs.insert(Some(key(n)), n);
            n_dropped += programs.release(id).len();
            assert!(programs.by_id.len() <= MOST_UNUSED + 2 && programs.by_key.len() == programs.by_id.len());
        }
        assert_eq!(n_dropped + programs.by_id.len(), 3000);
        assert_eq!(programs.get(held), Some(&0));
        assert!(programs.find(&key(2999)).is_some(), "the newest is still there");
        assert!(programs.find(&key(1)).is_none(), "the oldest is gone");
    }

    #[test]
    fn a_program_is_unused_when_all_that_were_given_it_released_it() {
        let mut programs = Programs::default();
        let first = programs.insert(Some(key(1)), 1usize);
        assert_eq!(programs.find(&key(1)), Some(first));
        programs.release(first);
        assert_eq!(programs.n_unused, 0);
        programs.release(first);
        programs.release(first);
        assert_eq!(programs.n_unused, 1, "a release too many changes nothing");
        assert_eq!(programs.remove_if(|_| true), [1]);
        assert_eq!((programs.n_unused, programs.find(&key(1))), (0, None));
    }
}

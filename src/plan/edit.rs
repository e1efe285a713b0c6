//! Rewriting the steps of a draft in place, with an index of who reads and writes each value.

use std::collections::HashMap;

use super::draft::Draft;
use super::{Buf, Kernel};

/// A pass over a draft. Steps keep their positions until [`Edit::finish`]; what is removed is only marked.
pub(super) struct Edit<'d, 'g> {
    pub draft: &'d mut Draft<'g>,
    readers: HashMap<Buf, Vec<usize>>,
    writers: HashMap<Buf, Vec<usize>>,
    removed: Vec<bool>,
}

impl<'d, 'g> Edit<'d, 'g> {
    pub fn new(draft: &'d mut Draft<'g>) -> Self {
        let removed = vec![false; draft.steps.len()];
        let mut edit = Edit { draft, readers: HashMap::new(), writers: HashMap::new(), removed };
        (0..edit.len()).for_each(|at| edit.index(at));
        edit
    }

    /// Drops what was removed.
    pub fn finish(self) {
        let mut removed = self.removed.iter();
        self.draft.steps.retain(|_| !removed.next().is_some_and(|r| *r));
    }

    pub fn len(&self) -> usize {
        self.draft.steps.len()
    }

    /// The kernel at a position, unless it was removed.
    pub fn kernel(&self, at: usize) -> Option<&Kernel> {
        (!self.removed[at]).then(|| &self.draft.steps[at].kernel)
    }

    /// The steps that read a value, in order.
    pub fn readers(&self, buf: Buf) -> &[usize] {
        self.readers.get(&buf).map_or(&[], Vec::as_slice)
    }

    /// The readers of a value that nothing outside the plan sees; none for any other.
    pub fn private_readers(&self, buf: Buf) -> &[usize] {
        if matches!(buf, Buf::Slot(_)) && !self.draft.outputs.iter().any(|o| o.buf == buf) { self.readers(buf) } else { &[] }
    }

    /// The one reader of a value that nothing outside the plan sees.
    pub fn only_reader(&self, buf: Buf) -> Option<usize> {
        match self.private_readers(buf) {
            [reader] => Some(*reader),
            _ => None,
        }
    }

    /// The one step that writes a value, and its kernel.
    pub fn writer(&self, buf: Buf) -> Option<(usize, &Kernel)> {
        match self.writers.get(&buf).map(Vec::as_slice) {
            Some(&[writer]) => self.kernel(writer).map(|kernel| (writer, kernel)),
            _ => None,
        }
    }

    /// Puts `kernel` at `at` in place of the step there, and takes over the nodes of the steps `covered`, which go.
    pub fn replace(&mut self, covered: &[usize], at: usize, kernel: Kernel) {
        let mut nodes = Vec::new();
        for &step in covered.iter().filter(|&&step| step != at).chain([&at]) {
            self.unindex(step);
            nodes.extend(self.draft.steps[step].nodes.iter().copied());
            self.removed[step] = step != at;
        }
        nodes.sort_unstable();
        nodes.dedup();
        self.draft.steps[at] = self.draft.step(kernel, nodes);
        self.index(at);
    }

    /// Lets every reader of `value`, the outside too, read `other` instead. Whoever writes `value` is left without a purpose.
    pub fn rename(&mut self, value: Buf, other: Buf) {
        for at in self.readers(value).to_vec() {
            let mut kernel = self.draft.steps[at].kernel.clone();
            kernel.operands_mut().into_iter().filter(|o| *o.buf == value).for_each(|o| *o.buf = other);
            self.set(at, kernel);
        }
        self.draft.outputs.iter_mut().filter(|o| o.buf == value).for_each(|o| o.buf = other);
    }

    pub fn remove(&mut self, at: usize) {
        self.unindex(at);
        self.removed[at] = true;
    }

    /// Changes a step that covers the same nodes as before.
    pub fn set(&mut self, at: usize, kernel: Kernel) {
        self.replace(&[], at, kernel);
    }

    fn index(&mut self, at: usize) {
        let kernel = &self.draft.steps[at].kernel;
        for (map, bufs) in [(&mut self.readers, kernel.reads()), (&mut self.writers, kernel.writes())] {
            for buf in bufs {
                let steps = map.entry(buf).or_default();
                if let Err(place) = steps.binary_search(&at) {
                    steps.insert(place, at);
                }
            }
        }
    }

    fn unindex(&mut self, at: usize) {
        let kernel = &self.draft.steps[at].kernel;
        for (map, bufs) in [(&mut self.readers, kernel.reads()), (&mut self.writers, kernel.writes())] {
            for buf in bufs {
                if let Some(steps) = map.get_mut(&buf) {
                    steps.retain(|&s| s != at);
                }
            }
        }
    }
}

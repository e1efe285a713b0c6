//! Which sequences hold pages: those that wait are taken up, the youngest is put back where no page is left, and full pages are kept for later ones.

use crate::graph::{ExecError, Executor};

use super::super::generate::{GenerateError, StepPrograms};
use super::Scheduler;
use super::sequence::{Sequence, SequenceId};

impl<P: StepPrograms> Scheduler<P>
where
    P::Error: From<GenerateError>,
{
    /// Takes up the requests that wait, the oldest first: each gets a sequence of the executor while there are pages for all of its tokens. A sequence
    /// begins behind the pages of its tokens that the prefix cache keeps, and waits while another sequence computes more of them.
    pub(super) fn take_up(&mut self) -> Result<(), P::Error> {
        let waiting: Vec<SequenceId> = self.sequences.iter().filter(|(_, s)| s.cache.is_none()).map(|(&id, _)| id).collect();
        let (spec, reuses) = (self.spec, self.keeps_prefixes());
        for id in waiting {
            let n_held = self.sequences.values().filter(|s| s.cache.is_some()).count();
            let Some(s) = self.sequences.get(&id) else { continue };
            // One that was put back waits for a run of the others at least.
            if s.put_back_at == Some(self.counts.runs) && n_held > 0 {
                break;
            }
            if reuses && self.sequences.values().any(|other| other.computes_for(s, spec.page)) {
                continue;
            }
            let mut executor = self.executor.lock();
            let cache = executor.add_cache(self.anchor)?;
            let fed = if reuses { executor.reuse_pages(cache, &s.ids)? } else { 0 };
            let fits_surely = n_held == 0 || (n_held + 1) * spec.n_pages() <= spec.n_places();
            // Each of the others may want one page more before this one has all of its own.
            let wanted = (s.ids.len() / spec.page + 1).min(spec.n_pages()).saturating_sub(fed / spec.page) + n_held;
            if !fits_surely && executor.free_pages(self.anchor)? < wanted {
                executor.free_cache(cache);
                break;
            }
            if let Some(s) = self.sequences.get_mut(&id) {
                s.take_up(cache, fed, spec.page);
            }
            self.counts.reused_tokens += fed as u64;
        }
        Ok(())
    }

    /// Frees the pages of the sequence that was added last; it is computed again later. No run is under way. `error` says that there is no page for
    /// the next one.
    pub(super) fn put_back_youngest(&mut self, error: ExecError) -> Result<(), P::Error> {
        let mut held = self.sequences.values_mut().rev().filter(|s| s.cache.is_some());
        let (Some(youngest), Some(_)) = (held.next(), held.next()) else { return Err(error.into()) };
        if let Some(cache) = youngest.put_back(self.counts.runs) {
            self.executor.lock().free_cache(cache);
        }
        self.counts.put_back += 1;
        Ok(())
    }

    /// Whether what a page holds depends on the tokens up to its end alone, and is kept.
    pub(super) fn keeps_prefixes(&self) -> bool {
        self.options.keeps_prefixes && self.programs.whole_prompts().is_none()
    }

    /// Keeps the pages of a sequence that have become full.
    pub(super) fn keep_full_pages(&mut self, sequence: SequenceId) -> Result<(), P::Error> {
        let (keeps, page) = (self.keeps_prefixes(), self.spec.page);
        if let Some(s) = self.sequences.get_mut(&sequence).filter(|s| keeps && s.n_full_pages(page) > s.n_kept) {
            keep(&mut *self.executor.lock(), s, page)?;
        }
        Ok(())
    }
}

fn keep(executor: &mut dyn Executor, s: &mut Sequence, page: usize) -> Result<(), ExecError> {
    let Some(cache) = s.cache else { return Ok(()) };
    let n = s.n_full_pages(page);
    executor.keep_pages(cache, &s.ids[..n * page])?;
    s.n_kept = n;
    Ok(())
}

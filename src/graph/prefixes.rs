//! Full pages that stay when their sequences have gone, found again by the tokens up to their end.
//!
//! What a page of keys and values holds depends on all tokens up to its end, and on the memory's specification, which is the same for all pages of
//! a memory: its window, sinks and type of keys. Sources: Kwon et al., arXiv:2309.06180, section 4.4; Zheng et al., arXiv:2312.07104.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::pages::PagePool;

/// The tokens from position 0 to the end of a full page. It holds the tokens of that page, and names the prefix that ends with the page before.
#[derive(Debug)]
pub(super) struct Prefix {
    hash: u64,
    pub n_pages: usize,
    ids: Box<[i32]>,
    pub before: Option<Arc<Prefix>>,
}

impl Prefix {
    /// The tokens of one page more.
    pub fn after(before: Option<Arc<Prefix>>, ids: &[i32]) -> Prefix {
        let mut hasher = DefaultHasher::new();
        (before.as_ref().map(|before| before.hash), ids).hash(&mut hasher);
        let n_pages = before.as_ref().map_or(0, |before| before.n_pages) + 1;
        Prefix { hash: hasher.finish(), n_pages, ids: ids.into(), before }
    }

    /// Whether all tokens are the same.
    fn equals(&self, other: &Prefix) -> bool {
        let (mut a, mut b) = (self, other);
        loop {
            if std::ptr::eq(a, b) {
                return true;
            }
            if a.ids != b.ids {
                return false;
            }
            match (&a.before, &b.before) {
                (Some(before_a), Some(before_b)) => (a, b) = (before_a, before_b),
                (before_a, before_b) => return before_a.is_none() && before_b.is_none(),
            }
        }
    }
}

impl Drop for Prefix {
    /// One page after the other: a long chain that dropped itself would need as much stack.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut prefix) = next.and_then(Arc::into_inner) {
            next = prefix.before.take();
        }
    }
}

/// The pages of one memory that are kept.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// By hash. Of two prefixes with one hash the first is kept.
    kept: HashMap<u64, Kept>,
    /// Hashes by age, the longest unused first. Of pages that were used together the last comes first: without it the others are still of use.
    by_age: BTreeMap<u64, u64>,
    now: u64,
}

#[derive(Debug)]
struct Kept {
    prefix: Arc<Prefix>,
    place: u32,
    age: u64,
}

impl Prefixes {
    /// Keeps a page; one that holds the same and was kept before stays instead. Returns the prefix that later ones are to follow.
    pub fn keep(&mut self, pool: &mut PagePool, prefix: Prefix, place: Option<u32>) -> Arc<Prefix> {
        let prefix = self.find(&prefix).map_or_else(|| Arc::new(prefix), |(kept, _)| kept);
        if let Some(place) = place
            && !self.kept.contains_key(&prefix.hash)
        {
            pool.hold(place);
            self.kept.insert(prefix.hash, Kept { prefix: prefix.clone(), place, age: 0 });
        }
        self.touch(&prefix);
        prefix
    }

    /// The page that is kept for the same tokens, and its place.
    pub fn find(&self, prefix: &Prefix) -> Option<(Arc<Prefix>, u32)> {
        let kept = self.kept.get(&prefix.hash).filter(|kept| kept.prefix.equals(prefix))?;
        Some((kept.prefix.clone(), kept.place))
    }

    /// A prefix was used, and all that it begins with.
    pub fn touch(&mut self, prefix: &Arc<Prefix>) {
        let mut next = Some(prefix);
        while let Some(prefix) = next {
            if let Some(kept) = self.kept.get_mut(&prefix.hash).filter(|kept| Arc::ptr_eq(&kept.prefix, prefix)) {
                self.now += 1;
                self.by_age.remove(&kept.age);
                kept.age = self.now;
                self.by_age.insert(self.now, prefix.hash);
            }
            next = prefix.before.as_ref();
        }
    }

    /// Gives up the page that was unused for longest, of those that no sequence holds; `false` where there is none.
    pub fn give_up_oldest(&mut self, pool: &mut PagePool) -> bool {
        let held_here_alone = |hash: &u64| self.kept.get(hash).is_some_and(|kept| pool.n_holders(kept.place) == 1);
        let Some((&age, &hash)) = self.by_age.iter().find(|(_, hash)| held_here_alone(hash)) else { return false };
        self.by_age.remove(&age);
        if let Some(kept) = self.kept.remove(&hash) {
            pool.give_back(kept.place);
        }
        true
    }

    /// Pages that could be given up now.
    pub fn n_unused(&self, pool: &PagePool) -> usize {
        self.kept.values().filter(|kept| pool.n_holders(kept.place) == 1).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_one_hash_are_told_apart_by_their_tokens() {
        let (mut pool, mut prefixes) = (PagePool::new(4), Prefixes::default());
        let of_hash = |ids: [i32; 2]| Prefix { hash: 7, n_pages: 1, ids: ids.into(), before: None };
        let place = pool.take().unwrap();
        prefixes.keep(&mut pool, of_hash([1, 2]), Some(place));
        prefixes.keep(&mut pool, of_hash([3, 4]), Some(place));
        assert_eq!(prefixes.find(&of_hash([1, 2])).map(|(_, place)| place), Some(place));
        assert!(prefixes.find(&of_hash([3, 4])).is_none());
        let longer = |first| Prefix { hash: 9, n_pages: 2, ids: [5, 6].into(), before: Some(Arc::new(of_hash(first))) };
        let second = pool.take().unwrap();
        prefixes.keep(&mut pool, longer([1, 2]), Some(second));
        assert!(prefixes.find(&longer([1, 2])).is_some() && prefixes.find(&longer([3, 4])).is_none());
    }

    #[test]
    fn the_oldest_is_given_up_first_and_of_one_prefix_the_last_page() {
        let (mut pool, mut prefixes) = (PagePool::new(6), Prefixes::default());
        let keep = |pool: &mut PagePool, prefixes: &mut Prefixes, first: i32| {
            let mut before = None;
            for page in 0..2 {
                let place = pool.take().unwrap();
                before = Some(prefixes.keep(pool, Prefix::after(before.take(), &[first, page]), Some(place)));
                pool.give_back(place);
            }
            before.unwrap()
        };
        let first = keep(&mut pool, &mut prefixes, 1);
        let second = keep(&mut pool, &mut prefixes, 2);
        prefixes.touch(&first);
        let begin = |first| Prefix::after(None, &[first, 0]);
        assert!(prefixes.give_up_oldest(&mut pool));
        assert!(prefixes.find(&second).is_none() && prefixes.find(&begin(2)).is_some());
        assert!(prefixes.give_up_oldest(&mut pool));
        assert!(prefixes.find(&begin(2)).is_none() && prefixes.find(&first).is_some());
        // A page that a sequence holds brings none when it is given up.
        let (_, place) = prefixes.find(&first).unwrap();
        pool.hold(place);
        assert!(prefixes.give_up_oldest(&mut pool) && !prefixes.give_up_oldest(&mut pool));
        assert_eq!((pool.n_free(), prefixes.n_unused(&pool)), (5, 0));
    }

    #[test]
    fn a_long_prefix_is_dropped_in_little_stack() {
        let mut prefix = None;
        for i in 0..300_000 {
            prefix = Some(Arc::new(Prefix::after(prefix.take(), &[i])));
        }
        drop(prefix);
    }
}

//! Random operations on a table of sequences, against a plain list of what each sequence holds.

use super::super::cache::KvType;
use super::*;

const PAGE: usize = 4;
const N_PLACES: usize = 26;

fn spec() -> CacheSpec {
    CacheSpec {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim: 2,
        window: 20,
        chunk: 7,
        sinks: 5,
        page: PAGE,
        sequences: 7,
        places: N_PLACES,
        kv_type: KvType::F32,
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// What a page of keys and values holds of a position: a word that depends on all tokens up to it.
fn content(before: u64, id: i32) -> u64 {
    (before ^ (id as u64).wrapping_add(0x9E37_79B9)).wrapping_mul(0x0100_0000_01B3).rotate_left(17)
}

/// A sequence as its owner knows it.
struct Owned {
    /// Younger ones have larger numbers.
    born: usize,
    /// `None` while it waits to be computed again.
    cache: Option<CacheId>,
    ids: Vec<i32>,
    /// What a memory holds of its first ids, by position.
    held: Vec<u64>,
    /// How many of `ids` are fed.
    fed: usize,
    /// One past the highest position that was ever written since it was taken up.
    end: usize,
}

impl Owned {
    /// Goes on with other tokens from `position` on.
    fn truncate(&mut self, position: usize) {
        self.ids.truncate(position);
        self.held.truncate(position);
    }

    fn hold_all(&mut self) {
        for &id in &self.ids[self.held.len()..] {
            self.held.push(content(self.held.last().copied().unwrap_or(0), id));
        }
    }
}

#[derive(Debug, Default)]
struct Counted {
    refused: usize,
    copied: usize,
    forks: usize,
    back: usize,
    put_back: usize,
    reused: usize,
    past_the_window: usize,
}

struct World {
    table: Sequences<()>,
    anchor: CacheId,
    /// By place.
    memory: Vec<u64>,
    owned: Vec<Owned>,
    random: Random,
    counted: Counted,
    n_born: usize,
}

impl World {
    fn new() -> World {
        let mut table = Sequences::default();
        let anchor = table.start(&spec(), || Ok(())).unwrap();
        let memory = vec![0; N_PLACES * PAGE];
        World { table, anchor, memory, owned: Vec::new(), random: Random(1), counted: Counted::default(), n_born: 0 }
    }

    /// A beginning that others share, cut at random, then a word or two.
    fn prompt(&mut self) -> Vec<i32> {
        let (family, n) = (self.random.below(3) as i32, 1 + self.random.below(45));
        let mut ids: Vec<i32> = (0..n as i32).map(|t| family * 100 + t).collect();
        ids.extend((0..self.random.below(3)).map(|_| self.random.below(1000) as i32));
        ids
    }

    fn born(&mut self) -> usize {
        self.n_born += 1;
        self.n_born
    }

    /// Takes up a sequence that waits, behind what is kept of its tokens.
    fn take_up(&mut self, i: usize) {
        let cache = self.table.add(self.anchor).unwrap();
        let fed = self.table.reuse(cache, &self.owned[i].ids).unwrap();
        assert!((fed == 0 || fed < self.owned[i].ids.len()) && fed.is_multiple_of(PAGE));
        self.counted.reused += usize::from(fed > 0);
        let owned = &mut self.owned[i];
        owned.hold_all();
        (owned.cache, owned.fed, owned.end) = (Some(cache), fed, fed);
    }

    /// Feeds up to seven tokens, drawn where the known ones are at an end. Where no page is left the youngest waits.
    fn feed(&mut self, i: usize) {
        let most = 1 + self.random.below(spec().chunk);
        let owned = &mut self.owned[i];
        let Some(cache) = owned.cache else { return };
        if owned.fed == owned.ids.len() {
            owned.ids.push(self.random.below(1000) as i32);
        }
        let n = most.min(owned.ids.len() - owned.fed);
        let position = owned.fed;
        match self.table.prepare(cache, position, n) {
            Err(ExecError::NoPages { n_pages }) => {
                assert_eq!(n_pages, N_PLACES);
                self.counted.refused += 1;
                let youngest = self.owned.iter_mut().filter(|s| s.cache.is_some()).max_by_key(|s| s.born).unwrap();
                self.table.end(youngest.cache.take().unwrap());
                self.counted.put_back += 1;
            }
            prepared => {
                let copies = prepared.unwrap().copies;
                self.counted.copied += copies.len();
                for PageCopy { from, to } in copies {
                    self.memory.copy_within(from as usize * PAGE..(from as usize + 1) * PAGE, to as usize * PAGE);
                }
                owned.hold_all();
                let table = self.table.get(cache).unwrap().table;
                (position..position + n).for_each(|p| self.memory[table.place(p)] = owned.held[p]);
                owned.fed += n;
                owned.end = owned.end.max(owned.fed);
                self.counted.past_the_window += usize::from(owned.fed > spec().window + spec().chunk);
                if self.random.below(3) > 0 {
                    self.table.keep(cache, &owned.ids[..owned.fed]).unwrap();
                }
            }
        }
    }

    fn fork(&mut self, i: usize) {
        let back = self.random.below(4);
        let owned = &self.owned[i];
        let position = owned.fed.saturating_sub(back);
        let Some(cache) = owned.cache.filter(|_| spec().can_go_back(owned.end, position)) else { return };
        let fork = self.table.fork(cache, position).unwrap();
        let (ids, held, end) = (owned.ids[..position].to_vec(), owned.held[..position].to_vec(), owned.end);
        let born = self.born();
        self.owned.push(Owned { born, cache: Some(fork), ids, held, fed: position, end });
        self.counted.forks += 1;
    }

    /// Goes back, and on with other tokens.
    fn go_back(&mut self, i: usize) {
        let back = self.random.below(9);
        let owned = &mut self.owned[i];
        let position = owned.fed.saturating_sub(back);
        if owned.cache.is_some() && spec().can_go_back(owned.end, position) {
            owned.fed = position;
            owned.truncate(position);
            owned.ids.push(self.random.below(1000) as i32);
            self.counted.back += 1;
        }
    }

    fn end(&mut self, i: usize) {
        if let Some(cache) = self.owned.swap_remove(i).cache {
            assert!(self.table.end(cache).is_none());
        }
    }

    fn operate(&mut self) {
        let n = self.owned.len();
        let i = self.random.below(n.max(1));
        match self.random.below(16) {
            0 | 1 if n < 6 => {
                let (born, ids) = (self.born(), self.prompt());
                self.owned.push(Owned { born, cache: None, ids, held: Vec::new(), fed: 0, end: 0 });
                self.take_up(n);
            }
            2 if n > 0 && self.random.below(2) == 0 => self.end(i),
            3 if n > 0 && n < 6 => self.fork(i),
            4 if n > 0 => self.go_back(i),
            _ if n > 0 && self.owned[i].cache.is_none() => self.take_up(i),
            _ if n > 0 => self.feed(i),
            _ => {}
        }
    }

    /// All that the next query of each sequence sees is where its table says, as its own tokens made it.
    fn check(&self) {
        for owned in &self.owned {
            let Some(cache) = owned.cache else { continue };
            let (table, next) = (self.table.get(cache).unwrap().table, owned.fed);
            let (sinks, recent) = spec().in_view(next, next, 0);
            for k in sinks.chain(recent).filter(|&k| k < next) {
                assert!(table.holds(k / PAGE), "position {k} of {next}");
                assert_eq!(self.memory[table.place(k)], owned.held[k], "position {k} of {next}");
            }
        }
    }
}

/// Sequences that are added, forked, cancelled, set back, slide past their window, are computed again for want of pages, and begin with what others
/// left: none loses a page or sees another one's tokens, and in the end all pages are free.
#[test]
fn sequences_hold_what_their_tokens_made() {
    let mut world = World::new();
    for i in 0..100_000 {
        world.operate();
        // What an operation spoils is in view for more operations than that.
        if i % 4 == 0 {
            world.check();
        }
    }
    let c = &world.counted;
    let least = [c.refused, c.copied, c.forks, c.back, c.put_back, c.reused, c.past_the_window].into_iter().min();
    assert!(least > Some(500), "{c:?}");
    while !world.owned.is_empty() {
        world.end(0);
    }
    assert_eq!(world.table.n_free_pages(world.anchor).unwrap(), N_PLACES);
    assert!(world.table.end(world.anchor).is_some() && world.table.memories().next().is_none());
}

/// Feeds all tokens of a sequence, as a run after the other would.
fn feed_all(table: &mut Sequences<()>, cache: CacheId, from: usize, ids: &[i32]) {
    for position in from..ids.len() {
        table.prepare(cache, position, 1).unwrap();
        table.keep(cache, &ids[..=position]).unwrap();
    }
}

#[test]
fn a_sequence_begins_behind_what_an_earlier_one_left() {
    let mut table = Sequences::default();
    let anchor = table.start(&spec(), || Ok(())).unwrap();
    let ids: Vec<i32> = (0..18).collect();
    let first = table.add(anchor).unwrap();
    feed_all(&mut table, first, 0, &ids);
    table.end(first);
    assert_eq!(table.n_free_pages(anchor).unwrap(), N_PLACES, "what is kept is free for who wants it");
    for (len, reused) in [(18, 16), (17, 16), (16, 12), (5, 4), (4, 0), (1, 0), (0, 0)] {
        let next = table.add(anchor).unwrap();
        assert_eq!(table.reuse(next, &ids[..len]).unwrap(), reused, "of {len} tokens");
        table.end(next);
    }
    // Another token in the second page, and in the first.
    for (at, reused) in [(6, 4), (0, 0)] {
        let mut other = ids.clone();
        other[at] = 99;
        let next = table.add(anchor).unwrap();
        assert_eq!(table.reuse(next, &other).unwrap(), reused, "with another token at {at}");
        table.end(next);
    }
}

/// Past the window a sequence needs the pages of its sinks and those in view, and no other.
#[test]
fn what_slid_out_of_view_is_not_asked_for() {
    let mut table = Sequences::default();
    let anchor = table.start(&spec(), || Ok(())).unwrap();
    let ids: Vec<i32> = (0..90).collect();
    let first = table.add(anchor).unwrap();
    feed_all(&mut table, first, 0, &ids);
    let next = table.add(anchor).unwrap();
    assert_eq!(table.reuse(next, &ids).unwrap(), 88);
    let (old, new) = (table.get(first).unwrap().table, table.get(next).unwrap().table);
    let (sinks, recent) = spec().in_view(88, 88, 0);
    sinks.chain(recent).filter(|&k| k < 88).for_each(|k| assert_eq!(new.place(k), old.place(k), "position {k}"));
    table.end(first);
    feed_all(&mut table, next, 88, &ids);
    table.end(next);
    assert_eq!(table.n_free_pages(anchor).unwrap(), N_PLACES);
}

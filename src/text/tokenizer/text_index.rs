//! A hash table from token text to id that borrows the texts from the vocabulary instead of keeping each a second time.

use std::hash::{BuildHasher, RandomState};

use super::texts::Texts;

/// Open addressing with linear probing, at most half full. The hash is keyed, so a crafted vocabulary cannot make look-ups slow.
pub struct TextIndex {
    slots: Vec<u32>,
    mask: usize,
    hasher: RandomState,
}

const FREE: u32 = u32::MAX;

impl TextIndex {
    /// Indexes `texts`; the position is the id. Of equal texts the last wins, as in llama.cpp. Empty texts are not indexed.
    pub fn new(texts: &Texts) -> TextIndex {
        let size = (texts.len() * 2).next_power_of_two().max(2);
        let mut index = TextIndex { slots: vec![FREE; size], mask: size - 1, hasher: RandomState::new() };
        for (id, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let slot = index.slot(texts, text);
            index.slots[slot] = id as u32;
        }
        index
    }

    /// The id of `text` among the `texts` that the index was made of.
    pub fn get(&self, texts: &Texts, text: &str) -> Option<u32> {
        let id = self.slots[self.slot(texts, text)];
        (id != FREE).then_some(id)
    }

    /// The slot that holds `text`, or the free one where it would go.
    fn slot(&self, texts: &Texts, text: &str) -> usize {
        let mut slot = self.hasher.hash_one(text) as usize & self.mask;
        while self.slots[slot] != FREE && texts.get(self.slots[slot] as usize) != Some(text) {
            slot = (slot + 1) & self.mask;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_the_last_of_equals() {
        let texts: Texts = ["a", "b", "", "a", "ab"].into_iter().collect();
        let index = TextIndex::new(&texts);
        assert_eq!(index.get(&texts, "a"), Some(3));
        assert_eq!(index.get(&texts, "ab"), Some(4));
        assert_eq!(index.get(&texts, "c"), None);
        assert_eq!(index.get(&texts, ""), None);
        assert_eq!(TextIndex::new(&Texts::default()).get(&Texts::default(), "a"), None);
    }
}

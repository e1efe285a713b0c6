//! The merges of a file, from the most urgent on, as ids instead of texts.

use std::collections::HashMap;

use rayon::prelude::*;

use super::merge::{Piece, Union};
use super::texts::Texts;
use super::vocab::Vocab;
use super::{TokenId, TokenizerError};

pub struct MergeList {
    /// By the ids of two neighbours, as `pair` joins them.
    merges: HashMap<u64, Merge>,
}

#[derive(Clone, Copy)]
struct Merge {
    rank: u32,
    id: u32,
}

impl MergeList {
    /// `merges` has `"left right"` for each; those that a token of structure takes part in are left out.
    pub fn new(vocab: &Vocab, merges: &Texts) -> Result<MergeList, TokenizerError> {
        if merges.is_empty() {
            return Err(TokenizerError::NoMerges);
        }
        // The look-ups are most of the time that loading takes, and independent of one another.
        let resolve = |union: &mut String, rank: usize| {
            let merge = merges.get(rank).unwrap_or_default();
            let (left, right) = split_merge(merge).ok_or_else(|| TokenizerError::Merge { index: rank, merge: merge.to_owned() })?;
            union.clear();
            union.extend([left, right]);
            let ids = (mergeable(vocab, left), mergeable(vocab, right), mergeable(vocab, union));
            // Files carry merges whose pieces were cut from the vocabulary; they can never apply.
            let (Some(left), Some(right), Some(id)) = ids else { return Ok(None) };
            Ok(Some((pair(left.0, right.0), Merge { rank: rank as u32, id: id.0 })))
        };
        let resolved: Vec<_> = (0..merges.len()).into_par_iter().map_init(String::new, resolve).collect::<Result<_, _>>()?;
        let mut merges = HashMap::with_capacity(resolved.len());
        for (neighbours, merge) in resolved.into_iter().flatten() {
            merges.entry(neighbours).or_insert(merge);
        }
        Ok(MergeList { merges })
    }

    /// What two neighbours become, if the list has them.
    pub fn union(&self, left: &Piece, right: &Piece) -> Option<Union> {
        self.merges.get(&pair(left.id, right.id)).map(|merge| Union { urgency: merge.rank, id: merge.id })
    }
}

/// The token of `text`, unless it is one that no merge may arrive at.
pub fn mergeable(vocab: &Vocab, text: &str) -> Option<TokenId> {
    vocab.id(text).filter(|&id| vocab.is_mergeable(id))
}

/// One word is hashed in half the time of two.
fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// The space between the pieces; the first piece may itself begin with one.
fn split_merge(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?.len_utf8();
    let space = first + merge[first..].find(' ')?;
    Some((&merge[..space], &merge[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_is_cut_at_the_space_behind_its_first_character() {
        assert_eq!(split_merge("Ġ t"), Some(("Ġ", "t")));
        assert_eq!(split_merge("  a"), Some((" ", "a")));
        assert_eq!(split_merge("ab"), None);
        assert_eq!(split_merge(""), None);
    }
}

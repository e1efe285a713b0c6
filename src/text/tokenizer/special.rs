//! Finds special and user-defined tokens in a text before it is encoded.

use std::ops::Range;

use super::spec::check_limit;
use super::vocab::Vocab;
use super::{TokenId, TokenizerError};

/// A trie over the texts of all tokens that are recognised whole, so that a search costs the text's length times the longest of them whatever
/// the vocabulary holds.
pub struct SpecialIndex {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    /// Ascending by byte.
    children: Vec<(u8, u32)>,
    token: Option<TokenId>,
}

pub struct Match {
    /// Includes the white space that the token swallows.
    pub range: Range<usize>,
    pub id: TokenId,
}

/// All texts together. Gemma's, the largest in use, are below 100 kB.
const MAX_TOTAL_BYTES: usize = 2 << 20;
const MAX_BYTES: usize = 1 << 10;

impl SpecialIndex {
    pub fn new(vocab: &Vocab) -> Result<SpecialIndex, TokenizerError> {
        let mut index = SpecialIndex { nodes: vec![Node::default()] };
        let mut total = 0;
        for id in vocab.ids().filter(|&id| vocab.is_added(id)) {
            let text = vocab.text(id).unwrap_or("");
            if text.is_empty() {
                continue;
            }
            total += text.len();
            check_limit("bytes of a special token", text.len(), MAX_BYTES)?;
            check_limit("bytes of all special tokens", total, MAX_TOTAL_BYTES)?;
            index.insert(text, id);
        }
        Ok(index)
    }

    fn insert(&mut self, text: &str, id: TokenId) {
        let mut at = 0;
        for &byte in text.as_bytes() {
            at = match self.nodes[at].children.binary_search_by_key(&byte, |&(b, _)| b) {
                Ok(i) => self.nodes[at].children[i].1 as usize,
                Err(i) => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[at].children.insert(i, (byte, child as u32));
                    child
                }
            };
        }
        self.nodes[at].token = Some(id);
    }

    /// The tokens in `text`, leftmost first and of those the longest, ascending and apart. A token that marks structure is found only where it
    /// touches none of the ranges in `protected`, which are ascending and apart as well.
    pub fn matches(&self, vocab: &Vocab, text: &str, protected: &[Range<usize>]) -> Vec<Match> {
        let mut found: Vec<Match> = Vec::new();
        let mut at = 0;
        // The first protected range that ends behind `at`.
        let mut next = 0;
        while at < text.len() {
            while protected.get(next).is_some_and(|range| range.end <= at) {
                next += 1;
            }
            let free_until = protected.get(next).map_or(text.len(), |range| if range.is_empty() { text.len() } else { range.start });
            let Some((id, end)) = self.longest(vocab, text.as_bytes(), at, free_until) else {
                at += 1;
                continue;
            };
            let (mut start, mut stop) = (at, end);
            if vocab.strips_left(id) {
                let floor = found.last().map_or(0, |previous| previous.range.end);
                start = floor + text[floor..at].trim_end().len();
            }
            if vocab.strips_right(id) {
                stop = text.len() - text[end..].trim_start().len();
            }
            found.push(Match { range: start..stop, id });
            at = stop;
        }
        found
    }

    /// The longest token that begins at `at`; one of structure must end at `free_until` or before.
    fn longest(&self, vocab: &Vocab, text: &[u8], at: usize, free_until: usize) -> Option<(TokenId, usize)> {
        let mut node = &self.nodes[0];
        let mut longest = None;
        for (i, &byte) in text[at..].iter().enumerate() {
            let Ok(child) = node.children.binary_search_by_key(&byte, |&(b, _)| b) else { break };
            node = &self.nodes[node.children[child].1 as usize];
            let end = at + i + 1;
            if let Some(id) = node.token.filter(|&id| end <= free_until || !vocab.is_special(id)) {
                longest = Some((id, end));
            }
        }
        longest
    }
}

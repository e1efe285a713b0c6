//! SentencePiece-style BPE: of all adjacent pieces whose union is a token, the one with the highest score is merged first.
//!
//! This is not the `tokenizers` crate's BPE because that one orders merges by one rank per *pair*. Here two pairs that make the same token have
//! equal urgency and the leftmost is taken (`ab|c` and `a|bc` differ otherwise), and a character that is no token of its own may still be part
//! of one. Deriving merges from scores for that crate would also cost more than the 100 ms that loading may take.
//!
//! Source: Kudo and Richardson, SentencePiece (2018), and its `bpe_model`, whose order of merges llama.cpp follows too.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::TokenId;
use super::vocab::{Vocab, VocabStyle};

pub struct SentencePieceBpe {
    /// By id: 0 for the highest score, equal for equal scores, `NEVER` for tokens that merging may not reach.
    urgency: Vec<u32>,
}

const NEVER: u32 = u32::MAX;

/// Positions are kept in 32 bits; longer texts are encoded in parts of this many bytes, cut at a character.
const PART_BYTES: usize = 1 << 28;

/// A piece of the text that is a token or one character so far, linked to its neighbours. Length 0: merged into its left neighbour.
struct Piece {
    start: u32,
    len: u32,
    previous: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

/// A pair of pieces that could merge, ordered by urgency and then by place. `len` tells whether the pieces are still those it was made of.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    urgency: u32,
    left: u32,
    right: u32,
    len: u32,
}

impl SentencePieceBpe {
    /// `scores` is empty, which makes all tokens equally urgent, or has one for each token.
    pub fn new(vocab: &Vocab, scores: &[f32]) -> SentencePieceBpe {
        let score = |id: TokenId| scores.get(id.0 as usize).copied().unwrap_or(0.0);
        let mut ids: Vec<TokenId> = vocab.ids().filter(|&id| vocab.is_mergeable(id)).collect();
        ids.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        let mut urgency = vec![NEVER; vocab.len()];
        let mut rank = 0;
        for (i, &id) in ids.iter().enumerate() {
            if i > 0 && score(ids[i - 1]) != score(id) {
                rank += 1;
            }
            urgency[id.0 as usize] = rank;
        }
        SentencePieceBpe { urgency }
    }

    /// Appends the ids of `fragment`, with a space in front of it where the vocabulary asks for one.
    pub fn encode(&self, vocab: &Vocab, fragment: &str, ids: &mut Vec<TokenId>) {
        let prefix = vocab.style == VocabStyle::SentencePiece { space_prefix: true };
        let mut text = String::with_capacity(fragment.len() + fragment.len() / 2 + 3);
        if prefix {
            text.push('▁');
        }
        text.extend(fragment.chars().map(|c| if c == ' ' { '▁' } else { c }));
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
            self.encode_part(vocab, part, ids);
            rest = after;
        }
    }

    fn encode_part(&self, vocab: &Vocab, text: &str, ids: &mut Vec<TokenId>) {
        let mut pieces: Vec<Piece> = Vec::with_capacity(text.len());
        for (start, c) in text.char_indices() {
            let at = pieces.len() as u32;
            pieces.push(Piece { start: start as u32, len: c.len_utf8() as u32, previous: at.wrapping_sub(1), next: at + 1 });
        }
        if let Some(last) = pieces.last_mut() {
            last.next = NONE;
        }
        let mut candidates: BinaryHeap<Reverse<Candidate>> = BinaryHeap::new();
        for left in 1..pieces.len() as u32 {
            candidates.extend(self.candidate(vocab, text, &pieces, left - 1, left));
        }
        while let Some(Reverse(Candidate { left, right, len, .. })) = candidates.pop() {
            let (l, r) = (&pieces[left as usize], &pieces[right as usize]);
            if l.len == 0 || r.len == 0 || l.len + r.len != len {
                continue;
            }
            let next = r.next;
            pieces[right as usize].len = 0;
            pieces[left as usize].len = len;
            pieces[left as usize].next = next;
            if next != NONE {
                pieces[next as usize].previous = left;
            }
            let previous = pieces[left as usize].previous;
            candidates.extend(self.candidate(vocab, text, &pieces, previous, left));
            candidates.extend(self.candidate(vocab, text, &pieces, left, next));
        }
        for piece in pieces.iter().filter(|piece| piece.len > 0) {
            push_piece(vocab, span(text, piece.start, piece.len), ids);
        }
    }

    fn candidate(&self, vocab: &Vocab, text: &str, pieces: &[Piece], left: u32, right: u32) -> Option<Reverse<Candidate>> {
        if left == NONE || right == NONE {
            return None;
        }
        let len = pieces[left as usize].len + pieces[right as usize].len;
        let id = vocab.id(span(text, pieces[left as usize].start, len))?;
        let urgency = self.urgency[id.0 as usize];
        (urgency != NEVER).then_some(Reverse(Candidate { urgency, left, right, len }))
    }
}

fn span(text: &str, start: u32, len: u32) -> &str {
    &text[start as usize..start as usize + len as usize]
}

/// A token; or, for a character that is none, its bytes; or the unknown token.
fn push_piece(vocab: &Vocab, piece: &str, ids: &mut Vec<TokenId>) {
    if let Some(id) = vocab.id(piece).filter(|&id| vocab.is_mergeable(id)) {
        return ids.push(id);
    }
    let bytes: Option<Vec<TokenId>> = piece.bytes().map(|byte| vocab.byte_id(byte)).collect();
    match bytes {
        Some(bytes) => ids.extend(bytes),
        None => ids.extend(vocab.unknown),
    }
}

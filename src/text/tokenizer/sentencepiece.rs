//! SentencePiece-style BPE: the pair whose union is the token with the highest score is merged first.
//!
//! Source: Kudo and Richardson, SentencePiece (2018), and its `bpe_model`, whose order of merges llama.cpp follows too.

use super::TokenId;
use super::escaped::{escape_spaces, parts, push_bytes};
use super::merge::{Merger, NONE, Piece, Union};
use super::vocab::{Vocab, VocabStyle};

pub struct SentencePieceBpe {
    /// By id: 0 for the highest score, equal for equal scores, `NEVER` for tokens that merging may not reach.
    urgency: Vec<u32>,
}

const NEVER: u32 = u32::MAX;

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
        for part in parts(&escape_spaces(fragment, prefix)) {
            self.encode_part(vocab, part, ids);
        }
    }

    fn encode_part(&self, vocab: &Vocab, text: &str, ids: &mut Vec<TokenId>) {
        let find = |start: u32, len: u32| {
            let id = vocab.id(&text[start as usize..(start + len) as usize])?;
            let urgency = self.urgency[id.0 as usize];
            (urgency != NEVER).then_some(Union { urgency, id: id.0 })
        };
        let mut merger = Merger::default();
        let chars = text.char_indices().map(|(start, c)| {
            let len = c.len_utf8() as u32;
            (len, find(start as u32, len).map_or(NONE, |found| found.id))
        });
        let pieces = merger.merge(chars, |l: &Piece, r: &Piece| find(l.start, l.len + r.len));
        for piece in pieces.iter().filter(|piece| piece.len > 0) {
            match piece.id {
                NONE => push_bytes(vocab, &text.as_bytes()[piece.start as usize..(piece.start + piece.len) as usize], ids),
                id => ids.push(TokenId(id)),
            }
        }
    }
}

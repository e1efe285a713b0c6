//! SentencePiece's unigram model: of all ways to cut a text into pieces, the one with the highest sum of scores.
//!
//! Source: Kudo, Subword Regularization (2018); SentencePiece's `unigram_model.cc` for the unknown pieces and `normalizer.cc` for the spaces.

use rayon::prelude::*;

use super::charsmap::Charsmap;
use super::escaped::{escape_spaces, parts, push_bytes};
use super::spec::{VocabSpec, check_limit};
use super::vocab::{TokenKind, Vocab};
use super::{TokenId, TokenizerError};

pub struct Unigram {
    charsmap: Option<Charsmap>,
    space_prefix: bool,
    /// Spaces at the ends are removed, and several become one.
    removes_extra_spaces: bool,
    /// The pieces that a text can be cut into, ascending by their bytes.
    pieces: Vec<u32>,
    /// Where the pieces that begin with each byte are in `pieces`: from this entry to the next.
    starts: Vec<usize>,
    /// By id.
    scores: Vec<f32>,
    unknown_score: f64,
}

/// How much less likely an unknown character is than the least likely piece.
const UNKNOWN_PENALTY: f64 = 10.0;
/// Of a piece, as each place of a text is compared with all pieces that may begin there; SentencePiece trains 16 characters unless told otherwise.
const MAX_PIECE_BYTES: usize = 1 << 10;

/// The best way to cut a text up to one place: its sum of scores and its last piece.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    start: u32,
    id: u32,
}

/// The id of a character without a piece.
const UNKNOWN: u32 = u32::MAX;

impl Unigram {
    pub fn new(vocab: &Vocab, spec: &VocabSpec) -> Result<Unigram, TokenizerError> {
        // Of equal texts one is a piece: the one that a look-up finds.
        let is_piece = |id: TokenId| vocab.is_mergeable(id) && vocab.text(id).is_some_and(|text| vocab.id(text) == Some(id));
        let mut pieces: Vec<u32> = vocab.ids().filter(|&id| is_piece(id)).map(|id| id.0).collect();
        let text = |id: u32| vocab.text(TokenId(id)).unwrap_or("");
        pieces.par_sort_unstable_by(|&a, &b| text(a).cmp(text(b)));
        let longest = pieces.iter().map(|&id| text(id).len()).max().unwrap_or(0);
        check_limit("bytes of a piece of a unigram vocabulary", longest, MAX_PIECE_BYTES)?;
        let starts = (0..=256).map(|byte| pieces.partition_point(|&id| usize::from(text(id).as_bytes()[0]) < byte)).collect();

        let score = |id: TokenId| spec.scores.get(id.0 as usize).copied().unwrap_or(0.0);
        let normal = vocab.ids().filter(|&id| vocab.kind(id) == Some(TokenKind::Normal)).map(score);
        let lowest = normal.filter(|score| score.is_finite()).reduce(f32::min).unwrap_or(0.0);
        let scores = vocab.ids().map(|id| match vocab.kind(id) {
            Some(TokenKind::UserDefined) => 0.0,
            // A sum with such a score could not be compared.
            _ if !score(id).is_finite() => lowest,
            _ => score(id),
        });
        let charsmap = if spec.precompiled_charsmap.is_empty() { None } else { Some(Charsmap::new(&spec.precompiled_charsmap)?) };
        Ok(Unigram {
            charsmap,
            space_prefix: spec.add_space_prefix.unwrap_or(true),
            removes_extra_spaces: spec.remove_extra_whitespaces.unwrap_or(true),
            starts,
            scores: scores.collect(),
            unknown_score: f64::from(lowest) - UNKNOWN_PENALTY,
            pieces,
        })
    }

    pub fn encode(&self, vocab: &Vocab, fragment: &str, ids: &mut Vec<TokenId>) {
        for text in parts(&self.normalize(fragment)) {
            self.encode_part(vocab, text, ids);
        }
    }

    fn normalize(&self, fragment: &str) -> String {
        let replaced = self.charsmap.as_ref().map(|charsmap| charsmap.apply(fragment));
        let text = replaced.as_deref().unwrap_or(fragment);
        if !self.removes_extra_spaces {
            return escape_spaces(text, self.space_prefix && !text.is_empty());
        }
        let mut normalized = String::with_capacity(text.len() + text.len() / 2 + 3);
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if self.space_prefix || !normalized.is_empty() {
                normalized.push('▁');
            }
            normalized.push_str(word);
        }
        normalized
    }

    /// Viterbi's algorithm over the places of `text`. Sums are in f64, as the `tokenizers` crate and llama.cpp take them.
    fn encode_part(&self, vocab: &Vocab, text: &str, ids: &mut Vec<TokenId>) {
        let mut best: Vec<Option<Best>> = vec![None; text.len() + 1];
        best[0] = Some(Best { score: 0.0, start: 0, id: UNKNOWN });
        for (at, c) in text.char_indices() {
            let Some(Best { score: before, .. }) = best[at] else { continue };
            let mut offer = |end: usize, id: u32, score: f64| {
                let score = before + score;
                if best[end].is_none_or(|champion| score > champion.score) {
                    best[end] = Some(Best { score, start: at as u32, id });
                }
            };
            let mut known = false;
            self.pieces_at(vocab, &text.as_bytes()[at..], |len, id| {
                known |= len == c.len_utf8();
                offer(at + len, id, f64::from(self.scores[id as usize]));
            });
            if !known {
                offer(at + c.len_utf8(), UNKNOWN, self.unknown_score);
            }
        }
        let mut cuts = Vec::new();
        let mut end = text.len();
        while let Some(last) = best[end].filter(|_| end > 0) {
            cuts.push((last.start as usize..end, last.id));
            end = last.start as usize;
        }
        cuts.reverse();
        // Unknown characters beside one another are one unknown token.
        for run in cuts.chunk_by(|(_, a), (_, b)| *a == UNKNOWN && *b == UNKNOWN) {
            match run {
                [(first, UNKNOWN), ..] => push_bytes(vocab, &text.as_bytes()[first.start..run[run.len() - 1].0.end], ids),
                _ => ids.extend(run.iter().map(|&(_, id)| TokenId(id))),
            }
        }
    }

    /// Calls `found` with the length and the id of each piece that `text` begins with, from the shortest on.
    fn pieces_at(&self, vocab: &Vocab, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let Some(&first) = text.first() else { return };
        let bytes = |id: u32| vocab.text(TokenId(id)).unwrap_or("").as_bytes();
        // Those that share the first `len` bytes with the text. As they are in order, one that has no more bytes comes first.
        let mut candidates = &self.pieces[self.starts[usize::from(first)]..self.starts[usize::from(first) + 1]];
        for len in 1.. {
            if let Some((&id, longer)) = candidates.split_first().filter(|(id, _)| bytes(**id).len() == len) {
                found(len, id);
                candidates = longer;
            }
            let Some(&next) = text.get(len).filter(|_| !candidates.is_empty()) else { return };
            let begin = candidates.partition_point(|&id| bytes(id)[len] < next);
            candidates = &candidates[begin..];
            candidates = &candidates[..candidates.partition_point(|&id| bytes(id)[len] == next)];
        }
    }
}

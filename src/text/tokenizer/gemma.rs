//! BPE of Gemma 4: a SentencePiece vocabulary (`▁` for a space, byte tokens) whose merges are a list, as in byte-level BPE.
//!
//! No pre-tokenizer cuts the text. llama.cpp cuts it at runs of line feeds, which gives the same ids: no token has a line feed beside another
//! character, and the merges make one token of each run that is one.

use super::escaped::{escape_spaces, parts, push_bytes};
use super::merge::{Merger, NONE};
use super::merge_list::{MergeList, mergeable};
use super::spec::VocabSpec;
use super::vocab::Vocab;
use super::{TokenId, TokenizerError};

pub struct GemmaBpe {
    merges: MergeList,
}

impl GemmaBpe {
    pub fn new(vocab: &Vocab, spec: &VocabSpec) -> Result<GemmaBpe, TokenizerError> {
        Ok(GemmaBpe { merges: MergeList::new(vocab, &spec.merges)? })
    }

    pub fn encode(&self, vocab: &Vocab, fragment: &str, ids: &mut Vec<TokenId>) {
        let mut merger = Merger::default();
        for text in parts(&escape_spaces(fragment, false)) {
            let chars = text.chars().map(|c| {
                let id = mergeable(vocab, c.encode_utf8(&mut [0; 4]));
                (c.len_utf8() as u32, id.map_or(NONE, |id| id.0))
            });
            let pieces = merger.merge(chars, |left, right| self.merges.union(left, right));
            for piece in pieces.iter().filter(|piece| piece.len > 0) {
                match piece.id {
                    NONE => push_bytes(vocab, &text.as_bytes()[piece.start as usize..(piece.start + piece.len) as usize], ids),
                    id => ids.push(TokenId(id)),
                }
            }
        }
    }
}

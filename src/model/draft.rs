//! Who guesses the tokens that follow, so that one run verifies several of them.
//!
//! Sources: Leviathan et al., arXiv:2211.17192 (a smaller model drafts), Saxena, "Prompt Lookup Decoding", 2023 (the text so far does).

use std::ops::ControlFlow;

use crate::graph::Sampling;
use crate::text::TokenId;

use super::generate::{GenerateError, Generator, StepPrograms};

/// The most tokens drafted at a time: with the token before them they are the eight rows of a run in which each row has the bits that it has alone.
pub const DRAFT_MAX: usize = 7;

/// Guesses the tokens that follow.
pub trait Drafter<E>: Send {
    /// Up to `n` ids that may follow `ids`, the prompt and the answer so far; fewer, or none, where it has no guess. `sampling` is how the
    /// answer is drawn.
    ///
    /// # Errors
    /// Those of the model that drafts.
    fn draft(&mut self, ids: &[TokenId], sampling: Sampling, n: usize) -> Result<Vec<TokenId>, E>;
}

/// What a generation drafts with.
pub(super) struct Drafts<E> {
    pub drafter: Box<dyn Drafter<E>>,
    /// Tokens drafted at a time.
    pub n: usize,
}

/// Looks for an earlier place in the text with the same last tokens, and drafts the tokens that followed there. It takes the place where the most
/// tokens agree, and of several such places the last one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NgramDrafter;

/// Fewer tokens that agree say too little about what follows.
const NGRAM_MIN: usize = 2;
/// More tokens that agree say no more, and would make repetitions slow to search.
const NGRAM_MAX: usize = 16;

impl<E> Drafter<E> for NgramDrafter {
    fn draft(&mut self, ids: &[TokenId], _: Sampling, n: usize) -> Result<Vec<TokenId>, E> {
        Ok(look_up(ids, n))
    }
}

fn look_up(ids: &[TokenId], n: usize) -> Vec<TokenId> {
    let agreeing = |end: usize| ids[..end].iter().rev().zip(ids.iter().rev()).take(NGRAM_MAX).take_while(|(a, b)| a == b).count();
    let best = (1..ids.len()).map(|end| (agreeing(end), end)).max();
    let Some((_, end)) = best.filter(|&(len, _)| len >= NGRAM_MIN) else { return Vec::new() };
    let mut drafted = Vec::with_capacity(n);
    for i in end..end + n {
        // Behind the end of the text its repetition goes on.
        let id = if i < ids.len() { ids[i] } else { drafted[i - ids.len()] };
        drafted.push(id);
    }
    drafted
}

/// Drafts what a smaller model generates. It draws with the same seed and settings, so that drawn answers agree as greedy ones do.
pub struct ModelDrafter<P: StepPrograms> {
    generator: Generator<P>,
    vocab_len: usize,
}

impl<P: StepPrograms> ModelDrafter<P> {
    /// `vocab_len`: rows of the smaller model's embedding.
    pub fn new(generator: Generator<P>, vocab_len: usize) -> Self {
        ModelDrafter { generator, vocab_len }
    }
}

impl<P: StepPrograms + Send> Drafter<P::Error> for ModelDrafter<P>
where
    P::Error: From<GenerateError>,
{
    fn draft(&mut self, ids: &[TokenId], sampling: Sampling, n: usize) -> Result<Vec<TokenId>, P::Error> {
        // Rows past the tokens, which fill an embedding up, differ between models of one vocabulary.
        if ids.is_empty() || ids.iter().any(|id| id.0 as usize >= self.vocab_len) {
            return Ok(Vec::new());
        }
        let context = self.generator.context_mut();
        let keep = context.common_prefix(ids).min(ids.len() - 1);
        let keep = if context.can_rewind_to(keep) {
            context.rewind_to(keep);
            keep
        } else {
            context.clear();
            0
        };
        let mut drafted = Vec::with_capacity(n);
        let on_token = |id| {
            drafted.push(id);
            ControlFlow::Continue(())
        };
        self.generator.generate(&ids[keep..], sampling, n, |_| false, |_| ControlFlow::Continue(()), on_token)?;
        Ok(drafted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafted(ids: &[u32], n: usize) -> Vec<u32> {
        let ids: Vec<TokenId> = ids.iter().map(|&id| TokenId(id)).collect();
        look_up(&ids, n).iter().map(|id| id.0).collect()
    }

    #[test]
    fn the_longest_agreement_is_taken_and_of_equal_ones_the_last() {
        // `1 2 3` stood before 9, `2 3` later before 8.
        assert_eq!(drafted(&[1, 2, 3, 9, 5, 2, 3, 8, 1, 2, 3], 2), [9, 5]);
        assert_eq!(drafted(&[4, 2, 3, 9, 5, 2, 3, 8, 1, 2, 3], 3), [8, 1, 2]);
        assert!(drafted(&[1, 3, 2, 3], 3).is_empty(), "one token alone is no agreement");
        assert!(drafted(&[], 3).is_empty() && drafted(&[1], 3).is_empty() && drafted(&[1, 2, 3], 3).is_empty());
    }

    #[test]
    fn a_repetition_goes_on_behind_the_end_of_the_text() {
        assert_eq!(drafted(&[1, 2, 1, 2, 1], 5), [2, 1, 2, 1, 2]);
        assert_eq!(drafted(&[7, 7, 7], 4), [7, 7, 7, 7]);
    }
}

//! Where the words of a run lie in its block.

use crate::graph::CacheIdx;
use crate::plan::{Kernel, Plan, Rows, ScalarRef};

/// Words before the plan's scalars: the numbers of tokens, of segments, and of those of one row that come first.
const HEADER_WORDS: usize = 4;
/// Words of a segment, as `prelude/segments` has them.
pub const SEGMENT_WORDS: usize = 9;
/// Words of a row that is drawn, as `prelude/draws` has them.
pub const DRAW_WORDS: usize = 9;

/// Where each part of a run's block begins, in words. The plan's scalars have the values of the first segment; kernels read what differs between segments
/// from the parts for segments and draws.
#[derive(Clone, Debug)]
pub struct BlockLayout {
    /// By cache: a word a row, where its key and value go.
    places: Vec<usize>,
    /// A word a row of the bucket, its segment; where a run has one segment, none.
    pub row_segments: usize,
    /// By cache, its part of each segment.
    segments: Vec<usize>,
    /// By index of the plan's step, what each row of a `Sample` takes.
    draws: Vec<(usize, usize)>,
    pub n_words: usize,
}

impl BlockLayout {
    /// `rows_written`: the rows that a run writes into each cache.
    pub fn of(plan: &Plan, rows_written: &[Rows]) -> Self {
        let mut end = HEADER_WORDS + plan.scalars.words.len();
        let mut take = |n: usize| {
            end += n;
            end - n
        };
        let places = rows_written.iter().map(|rows| take(rows.count)).collect();
        let row_segments = take(if plan.segments > 1 { plan.bucket.unwrap_or(0) } else { 0 });
        let segments = rows_written.iter().map(|_| take(plan.segments * SEGMENT_WORDS)).collect();
        let mut draws = Vec::new();
        for (i, step) in plan.steps.iter().enumerate() {
            if let Kernel::Sample(k) = &step.kernel {
                draws.push((i, take(k.rows * DRAW_WORDS)));
            }
        }
        let n_words = take(0);
        BlockLayout { places, row_segments, segments, draws, n_words }
    }

    pub fn scalar(&self, scalar: ScalarRef) -> usize {
        HEADER_WORDS + scalar.0 as usize
    }

    pub fn places(&self, cache: CacheIdx) -> usize {
        self.places[cache.0 as usize]
    }

    pub fn segments(&self, cache: CacheIdx) -> usize {
        self.segments[cache.0 as usize]
    }

    /// By index of the plan's step, the first words of what is drawn.
    pub fn draws(&self) -> &[(usize, usize)] {
        &self.draws
    }

    /// Of one step.
    pub fn draws_of(&self, step_idx: usize) -> usize {
        self.draws.iter().find(|(step, _)| *step == step_idx).map_or(0, |(_, word)| *word)
    }
}

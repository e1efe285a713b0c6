//! Causal attention over the cache: `softmax(scale · q kᵀ + mask) v`, a tile of 32 keys at a time with a running maximum and sum (online softmax,
//! arXiv:1805.02867).
//!
//! A unit of work is a key-value head with the queries of its heads for a few tokens, so that each tile of the cache is widened once for all of
//! them. Tiles begin at fixed positions, and keys that a query does not see are left out before the exponential and of the sums, so that a token's
//! result has the same bits whatever tokens it is computed with. All is f32; relative error about 1e-6 of the largest value.

use std::cell::RefCell;
use std::ops::Range;

use crate::plan::Attention;

use super::cache::KvLayer;
use super::isa::{Isa, fma, for_each_isa};
use super::rope::{RopeRows, rotate};
use super::step::{KvLayers, RunSegment, StepContext};
use super::transpose::transpose;
use super::vector::{exp, sum_lanes};

/// Keys of a tile.
const TILE: usize = 32;
/// Queries that are multiplied together; the queries of a unit are padded to a multiple.
const QUAD: usize = 4;
/// Queries of a unit, about.
const UNIT: usize = 64;
/// Elements of a head that the product with the values takes at once; heads are padded to a multiple.
const SPAN: usize = 32;
/// Where running maxima start: below every score, and finite.
const LOWEST: f32 = -3.0e38;

/// A few tokens of one segment.
struct Block {
    segment: usize,
    /// The first token: its row in the run, and its position.
    row: usize,
    position: usize,
    n_tokens: usize,
}

pub(super) fn run(ctx: &StepContext<'_>, step: &Attention) {
    let layers = ctx.kv_layers(step.cache, step.layer);
    let groups = layers.of_segment(0).spec.n_kv_heads;
    let n_tokens = step.rows.of_run(ctx.n_tokens);
    if n_tokens == 0 || groups == 0 || step.head_dim == 0 {
        return;
    }
    let per_group = step.n_heads / groups;
    let unit = Unit {
        isa: ctx.isa,
        q: ctx.f32(step.q),
        n_heads: step.n_heads,
        per_group,
        scale: ctx.scalar_f32(step.scale),
        window: usize::try_from(ctx.scalar_i32(step.window)).unwrap_or(0),
        sink: step.sink.as_ref().map(|table| ctx.rope_rows(table)),
        cap: step.cap.map(|cap| ctx.scalar_f32(cap)),
        null_logits: step.null_logits.map(|logits| ctx.f32(logits)),
    };
    let out = ctx.out(step.out);
    let blocks = blocks(&layers, ctx.segments, n_tokens, (UNIT / per_group.max(1)).max(1));
    ctx.threads.run(groups * blocks.len(), |task| {
        let (block, group) = (&blocks[task / groups], task % groups);
        let layer = layers.of_segment(block.segment);
        SCRATCH.with_borrow_mut(|scratch| {
            unit.attend(&layer, group, block, scratch);
            let d = step.head_dim;
            for (i, total) in scratch.totals.chunks_exact(d.next_multiple_of(SPAN)).enumerate().take(scratch.n_queries) {
                let (t, head) = (block.row + i / per_group, group * per_group + i % per_group);
                // SAFETY: this head of this token is this task's alone.
                unsafe { out.range_mut::<f32>((t * step.n_heads + head) * d, d) }.copy_from_slice(&total[..d]);
            }
        });
    });
}

/// The tokens of all segments in blocks of up to `most`. Those that see the most keys go first, so that threads end together.
fn blocks(layers: &KvLayers<'_>, segments: &[RunSegment<'_>], n_tokens: usize, most: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (i, segment) in segments.iter().enumerate() {
        let position = layers.of_segment(i).position;
        // A program without a token input has one segment, whose rows it knows itself.
        let n = if segments.len() == 1 { n_tokens } else { segment.n_rows };
        for first in (0..n).step_by(most) {
            blocks.push(Block { segment: i, row: segment.first_row + first, position: position + first, n_tokens: most.min(n - first) });
        }
    }
    blocks.sort_by_key(|block| std::cmp::Reverse(block.position));
    blocks
}

/// The operands of a step.
struct Unit<'a> {
    isa: Isa,
    q: &'a [f32],
    n_heads: usize,
    per_group: usize,
    scale: f32,
    window: usize,
    sink: Option<RopeRows<'a>>,
    cap: Option<f32>,
    /// `[n_heads]`
    null_logits: Option<&'a [f32]>,
}

#[derive(Default)]
struct Scratch {
    n_queries: usize,
    /// `[queries, D]`, scaled.
    queries: Vec<f32>,
    sink_queries: Vec<f32>,
    /// A tile as it is loaded, `[TILE, D]`; keys by element, `[D, TILE]`; values padded, `[TILE, D']`.
    loaded: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[queries, D']`
    totals: Vec<f32>,
    maxima: Vec<f32>,
    sums: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Unit<'_> {
    /// Attention of the queries of `group` for a block of tokens; the result is in `scratch.totals`.
    fn attend(&self, layer: &KvLayer<'_>, group: usize, block: &Block, scratch: &mut Scratch) {
        let d = layer.spec.head_dim;
        let n = block.n_tokens * self.per_group;
        let padded = n.next_multiple_of(QUAD);
        scratch.n_queries = n;
        for (values, len) in [
            (&mut scratch.queries, padded * d),
            (&mut scratch.sink_queries, padded * d),
            (&mut scratch.loaded, TILE * d),
            (&mut scratch.keys, TILE * d),
            (&mut scratch.values, TILE * d.next_multiple_of(SPAN)),
            (&mut scratch.totals, padded * d.next_multiple_of(SPAN)),
            (&mut scratch.sums, padded),
        ] {
            values.clear();
            values.resize(len, 0.0);
        }
        scratch.maxima.clear();
        scratch.maxima.resize(padded, LOWEST);
        for (i, query) in scratch.queries.chunks_exact_mut(d).enumerate().take(n) {
            let (t, head) = (block.row + i / self.per_group, group * self.per_group + i % self.per_group);
            for (query, q) in query.iter_mut().zip(&self.q[(t * self.n_heads + head) * d..][..d]) {
                *query = q * self.scale;
            }
        }
        let (sinks, recent) = layer.spec.in_view(block.position, block.position + block.n_tokens - 1, self.window);
        if !sinks.is_empty() {
            scratch.sink_queries.copy_from_slice(&scratch.queries);
            if let Some(rope) = &self.sink {
                for (i, query) in scratch.sink_queries.chunks_exact_mut(d).enumerate().take(n) {
                    rotate(self.isa, query, rope, block.row + i / self.per_group);
                }
            }
            self.walk(layer, group, block, sinks, true, scratch);
        }
        self.walk(layer, group, block, recent, false, scratch);
        let sums = scratch.sums.iter().zip(&scratch.maxima).enumerate();
        for (total, (i, (&sum, &largest))) in scratch.totals.chunks_exact_mut(d.next_multiple_of(SPAN)).zip(sums) {
            let share = match self.null_logits {
                Some(logits) => share_of_keys(logits[group * self.per_group + i % self.per_group], largest, sum),
                None => 1.0,
            };
            let inverse = if sum > 0.0 { share / sum } else { 0.0 };
            total.iter_mut().for_each(|x| *x *= inverse);
        }
    }

    /// Takes the keys at `positions` in tiles: each holds [`TILE`] positions from a multiple of it on, or a page where that is smaller.
    fn walk(&self, layer: &KvLayer<'_>, group: usize, block: &Block, positions: Range<usize>, sinks: bool, scratch: &mut Scratch) {
        let spec = &layer.spec;
        let d = spec.head_dim;
        // Both are powers of two. A tile's place among the lanes of the sums must not depend on what the unit's first query sees, so its keys before
        // that are loaded too: they are of a page that the sequence holds and has written.
        let tile = TILE.min(spec.page);
        let mut start = positions.start / tile * tile;
        while start < positions.end {
            let len = tile.min(positions.end - start);
            layer.load_keys(group, start, len, &mut scratch.loaded);
            transpose(
                self.isa,
                bytemuck::cast_slice(&scratch.loaded[..len * d]),
                len,
                d,
                d,
                bytemuck::cast_slice_mut(&mut scratch.keys),
                TILE,
            );
            if d.is_multiple_of(SPAN) {
                layer.load_values(group, start, len, &mut scratch.values);
            } else {
                layer.load_values(group, start, len, &mut scratch.loaded);
                let padded = scratch.values.chunks_exact_mut(d.next_multiple_of(SPAN));
                for (padded, value) in padded.zip(scratch.loaded[..len * d].chunks_exact(d)) {
                    padded[..d].copy_from_slice(value);
                }
            }
            for quad in 0..scratch.n_queries.div_ceil(QUAD) {
                // What each query sees of the tile.
                let seen: [Range<usize>; QUAD] = std::array::from_fn(|i| {
                    let query = quad * QUAD + i;
                    if query >= scratch.n_queries {
                        return 0..0;
                    }
                    let p = block.position + query / self.per_group;
                    let (sink, recent) = spec.in_view(p, p, self.window);
                    let seen = if sinks { sink } else { recent };
                    let clip = |k: usize| k.clamp(start, start + len) - start;
                    clip(seen.start)..clip(seen.end)
                });
                if seen.iter().all(Range::is_empty) {
                    continue;
                }
                let queries = if sinks { &scratch.sink_queries } else { &scratch.queries };
                attend_tile(
                    self.isa,
                    &queries[quad * QUAD * d..][..QUAD * d],
                    &scratch.keys,
                    &scratch.values,
                    d,
                    &seen,
                    self.cap,
                    &mut scratch.maxima[quad * QUAD..][..QUAD],
                    &mut scratch.sums[quad * QUAD..][..QUAD],
                    &mut scratch.totals[quad * QUAD * d.next_multiple_of(SPAN)..][..QUAD * d.next_multiple_of(SPAN)],
                );
            }
            start += len;
        }
    }
}

/// The share of all weights that the keys have beside a null logit, by their largest score and the sum of their weights relative to it.
fn share_of_keys(null: f32, largest: f32, sum: f32) -> f32 {
    let most = largest.max(null);
    let keys = sum * (largest - most).exp();
    keys / (keys + (null - most).exp())
}

for_each_isa! {
    /// Four queries against one tile of keys; each reads only the values of those that it sees.
    fn attend_tile(
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        d: usize,
        seen: &[Range<usize>; QUAD],
        cap: Option<f32>,
        maxima: &mut [f32],
        sums: &mut [f32],
        totals: &mut [f32],
    ) {
        let mut scores = [[0.0f32; TILE]; QUAD];
        let queries: [&[f32]; QUAD] = std::array::from_fn(|i| &queries[i * d..][..d]);
        for (at, keys) in keys.chunks_exact(TILE).enumerate().take(d) {
            for i in 0..QUAD {
                let q = queries[i][at];
                for j in 0..TILE {
                    scores[i][j] = fma::<FMA>(q, keys[j], scores[i][j]);
                }
            }
        }
        let mut decay = [1.0f32; QUAD];
        for i in 0..QUAD {
            let seen = seen[i].clone();
            if seen.is_empty() {
                scores[i] = [0.0; TILE];
                continue;
            }
            if let Some(cap) = cap {
                for score in &mut scores[i][seen.clone()] {
                    *score = cap * (*score / cap).tanh();
                }
            }
            let mut largest = maxima[i];
            for &score in &scores[i][seen.clone()] {
                largest = largest.max(score);
            }
            decay[i] = exp(maxima[i] - largest);
            maxima[i] = largest;
            for (j, score) in scores[i].iter_mut().enumerate() {
                let masked = if j >= seen.start && j < seen.end { *score } else { LOWEST };
                *score = exp(masked - largest);
            }
            let mut lanes = [0.0f32; 16];
            for j in 0..16 {
                lanes[j] = scores[i][j] + scores[i][j + 16];
            }
            sums[i] = fma::<FMA>(sums[i], decay[i], sum_lanes(lanes));
        }
        let width = d.next_multiple_of(SPAN);
        let together = seen.iter().all(|range| *range == seen[0]);
        for at in (0..width).step_by(SPAN) {
            let mut parts = [[0.0f32; SPAN]; QUAD];
            if together {
                for (j, value) in values.chunks_exact(width).enumerate().take(seen[0].end).skip(seen[0].start) {
                    let value = &value[at..at + SPAN];
                    for i in 0..QUAD {
                        for e in 0..SPAN {
                            parts[i][e] = fma::<FMA>(scores[i][j], value[e], parts[i][e]);
                        }
                    }
                }
            } else {
                for i in 0..QUAD {
                    for (j, value) in values.chunks_exact(width).enumerate().take(seen[i].end).skip(seen[i].start) {
                        let value = &value[at..at + SPAN];
                        for e in 0..SPAN {
                            parts[i][e] = fma::<FMA>(scores[i][j], value[e], parts[i][e]);
                        }
                    }
                }
            }
            for i in (0..QUAD).filter(|&i| !seen[i].is_empty()) {
                let total = &mut totals[i * width + at..][..SPAN];
                for e in 0..SPAN {
                    total[e] = fma::<FMA>(total[e], decay[i], parts[i][e]);
                }
            }
        }
    }
}

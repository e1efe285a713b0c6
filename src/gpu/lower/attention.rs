//! Attention over the cache: parts of what is in view, then their merge.

use std::sync::Arc;

use super::super::assemble::Source;
use super::super::caps::Caps;
use super::super::variants::Variant;
use super::neural::is_neox;
use super::tiles::matrix_fragment;
use super::{Arguments, Grid, Lowering, MOST_ROUNDS, Operand, RunShape, Work, kv_rows, of_rows};
use crate::graph::{CacheIdx, CacheSpec, ExecError, KvType};
use crate::plan::{Attention, Rows, ScalarRef};

/// Invocations of a workgroup, which score as many positions at once.
const WORKGROUP: usize = 256;
/// The same on software adapters, where barriers cost by the invocation.
const SOFTWARE_WORKGROUP: usize = 32;
/// Positions of a part where few are in view; more are cut into at most `MAX_SPLITS` parts.
const SPLIT: usize = 256;
const MAX_SPLITS: usize = 32;
/// Counters of workgroups that wrote their parts.
pub const N_ARRIVALS: usize = 4096;
/// Query heads of a workgroup, at most: each is a set of registers.
const MOST_HEADS: usize = 2;
const MOST_SOFTWARE_HEADS: usize = 8;

/// Parts of a row among others that are many.
const MAX_SPLITS_OF_MANY: usize = 16;

/// Tokens of a bucket from which on the matrix units pay.
const LEAST_COOPERATIVE_ROWS: usize = 16;
/// Tokens of a bucket up to which the cache is cut into parts.
const MOST_SPLIT_ROWS: usize = 8;

impl Lowering<'_> {
    pub(super) fn attention(&mut self, k: &Attention) -> Result<(), ExecError> {
        let (spec, layout) = self.cache(k.cache)?;
        // Rows of few tokens would leave most of a tile empty.
        let matrices = self.caps.matrix_edge > 0 && k.rows.count >= LEAST_COOPERATIVE_ROWS && layout.head_dim.is_multiple_of(16);
        if let Some(tile) = AttentionTile::of(self.caps, layout.head_dim).filter(|_| matrices) {
            if self.plan.segments > 1 {
                // Segments of one row would leave most of a tile empty.
                self.attention_by_rows(k, spec, layout.head_dim, true)?;
            }
            self.attention_cooperative(k, spec, layout.head_dim, tile);
            return Ok(());
        }
        self.attention_by_rows(k, spec, layout.head_dim, false)
    }

    /// Each row for itself. `singles`: those segments alone that have one row.
    fn attention_by_rows(&mut self, k: &Attention, spec: &CacheSpec, head_dim: usize, singles: bool) -> Result<(), ExecError> {
        let group = k.n_heads / spec.n_kv_heads;
        let quads = head_dim / 4;
        let software = self.caps.software;
        let most_heads = match self.caps.uses(Variant::GroupedHeads) {
            true if software => MOST_SOFTWARE_HEADS,
            true => MOST_HEADS,
            false => 1,
        };
        let least = if software { SOFTWARE_WORKGROUP } else { WORKGROUP.min(self.caps.workgroup_threads as usize) };
        let workgroup = least.max(quads.next_power_of_two());
        // Queries twice, a weight and a quad of sums an invocation, totals, rows of the tile, and what reductions take.
        let bytes = |heads: usize| heads * (2 * head_dim + 5 * workgroup + workgroup / quads) * 4 + 20 * workgroup;
        let fits = |heads: &usize| group.is_multiple_of(*heads) && bytes(*heads) <= self.caps.workgroup_memory as usize;
        let heads = (1..=group.min(most_heads)).rev().find(fits).filter(|_| workgroup <= self.caps.workgroup_threads as usize);
        let Some(heads) = heads else {
            return Err(self.unsupported(format!("heads of {} elements do not fit into the workgroup memory of this device", k.head_dim)));
        };
        let n_rows = if singles { self.plan.segments } else { k.rows.count };
        // Prefill has enough workgroups without parts, and would need room for each token's: it has as few as loops that end let it have.
        let splits = match () {
            () if !self.caps.uses(Variant::SplitAttention) => 1,
            () if singles => MAX_SPLITS_OF_MANY,
            () if n_rows <= MOST_SPLIT_ROWS => MAX_SPLITS,
            () => 1,
        };
        let least_splits = if self.caps.ends_loops { least_parts(spec.window + k.rows.count, workgroup, heads, head_dim) } else { 1 };
        let max_splits = least_splits.max(splits);
        // Counters of arrivals beside null logits would be a ninth storage buffer, which not every device has.
        let within = max_splits > 1 && self.caps.coherent && n_rows * k.n_heads <= N_ARRIVALS && k.null_logits.is_none();
        let source = self
            .attention_source("attention", k, spec, (head_dim, workgroup))
            .set("SPLIT", SPLIT)
            .with("prelude/reduce")
            .with(if within { "parts/within" } else { "parts/apart" })
            .with("parts/merge")
            .set("LANES", workgroup)
            .set("GROUP", heads);
        let parts = self.shared_scratch("parts", n_rows * k.n_heads * max_splits * (k.head_dim + 2));
        let arguments = self.attention_arguments(k, spec, max_splits).bind("parts", parts);
        let arguments = arguments.bind_some("arrivals", within.then_some(Operand::Arrivals));
        let (n_blocks, in_view) = (k.n_heads / heads, InView::of(k, singles));
        let grid = move |run: &RunShape| {
            let parts = in_view.n_parts(run, max_splits);
            [parts as u32, n_blocks as u32, in_view.n_rows(run) as u32]
        };
        self.push_work(source, arguments, Grid::PerRun(Arc::new(grid)), attention_work(k, spec));
        if max_splits > 1 && !within {
            self.merge(k, parts, max_splits, singles);
        }
        Ok(())
    }

    /// Many tokens on the matrix units.
    fn attention_cooperative(&mut self, k: &Attention, spec: &CacheSpec, head_dim: usize, tile: AttentionTile) {
        let AttentionTile { tokens, keys, share } = tile;
        let source = self
            .attention_source("attention_cooperative", k, spec, (head_dim, share * tokens))
            .with(matrix_fragment(self.caps))
            .set("TOKENS", tokens)
            .set("SHARE", share)
            .set("KEYS", keys);
        let arguments = self.attention_arguments(k, spec, 1);
        let (n_heads, rows, many) = (k.n_heads as u32, k.rows, self.plan.segments > 1);
        let grid = move |run: &RunShape| {
            let n_tiles: usize = match many {
                true => run.segments[run.n_single..].iter().map(|segment| segment.n_rows.div_ceil(tokens)).sum(),
                false => rows.of_run(run.n_tokens).div_ceil(tokens),
            };
            [n_tiles as u32, n_heads, 1]
        };
        self.push_work(source, arguments, Grid::PerRun(Arc::new(grid)), attention_work(k, spec));
    }

    fn attention_source(&self, op: &'static str, k: &Attention, spec: &CacheSpec, (head_dim, workgroup): (usize, usize)) -> Source {
        let fragment = match spec.kv_type {
            KvType::F32 => "kv/f32",
            KvType::F16 => "kv/f16",
            KvType::Q8_0 => "kv/q8_0",
        };
        self.source_of_segments(op)
            .with("prelude/view")
            .with("prelude/math")
            .with("prelude/attention")
            .with("prelude/null_logits")
            .with(fragment)
            .set("CAPPED", k.cap.is_some())
            .set("HAS_NULL", k.null_logits.is_some())
            .set("D_PAD", head_dim)
            .set("PAGE", spec.page)
            .set("WORKGROUP", workgroup)
    }

    /// The arguments of `prelude/attention` and of the cache's fragment.
    fn attention_arguments(&self, k: &Attention, spec: &CacheSpec, max_splits: usize) -> Arguments {
        // Not `Nothing`, which may be bound as another operand: a device refuses one buffer that is read and written.
        let sink_table = k.sink.map_or(k.q, |r| r.table);
        self.with_segments(of_rows(k.rows), k.cache)
            .set("n_heads", k.n_heads)
            .set("scale", self.word(k.scale))
            .set("window", self.word(k.window))
            .set("kv_rows", kv_rows(spec))
            .set("head_dim", k.head_dim)
            .set("n_dims", k.sink.map_or(0, |r| r.n_dims))
            .set("neox", k.sink.is_some_and(|r| is_neox(&r)))
            .set("max_splits", max_splits)
            .set("group", k.n_heads / spec.n_kv_heads)
            .set("cap", k.cap.map_or(0, |cap| self.word(cap)))
            .bind_some("null_logits", k.null_logits)
            .bind("q", k.q)
            .bind("keys", Operand::Keys(k.cache, k.layer))
            .bind("values", Operand::Values(k.cache, k.layer))
            .bind("out", k.out)
            .bind("sink_table", sink_table)
            .bind("pages", Operand::Pages(k.cache))
    }

    fn merge(&mut self, k: &Attention, parts: Operand, max_splits: usize, singles: bool) {
        let source = self
            .source_of_segments("attention_merge")
            .with("prelude/view")
            .with("prelude/null_logits")
            .with("parts/merge")
            .set("HAS_NULL", k.null_logits.is_some())
            .set("WORKGROUP", 64u32)
            .set("GROUP", 1u32)
            .set("SPLIT", SPLIT);
        let arguments = self
            .with_segments(Arguments::default(), k.cache)
            .set("n_heads", k.n_heads)
            .set("head_dim", k.head_dim)
            .set("max_splits", max_splits)
            .set("window", self.word(k.window))
            .bind("parts", parts)
            .bind("out", k.out)
            .bind_some("null_logits", k.null_logits);
        let (n_heads, in_view) = (k.n_heads as u32, InView::of(k, singles));
        let grid = move |run: &RunShape| match in_view.n_parts(run, max_splits) {
            1 => [0, 0, 0],
            _ => [n_heads, in_view.n_rows(run) as u32, 1],
        };
        self.push(source, arguments, Grid::PerRun(Arc::new(grid)));
    }
}

/// What decides how many positions a run's queries have in view.
struct InView {
    cache: CacheIdx,
    rows: Rows,
    window: ScalarRef,
    /// The segments of one row that come first, alone.
    singles: bool,
}

impl InView {
    fn of(k: &Attention, singles: bool) -> Self {
        InView { cache: k.cache, rows: k.rows, window: k.window, singles }
    }

    fn n_rows(&self, run: &RunShape) -> usize {
        if self.singles { run.n_single } else { self.rows.of_run(run.n_tokens) }
    }

    /// The most parts of a row: a function of the number of positions that it sees alone.
    fn n_parts(&self, run: &RunShape, max_splits: usize) -> usize {
        if max_splits == 1 {
            return 1;
        }
        let cache = self.cache.0 as usize;
        let (mut most, mut left) = (1, self.n_rows(run));
        for segment in &run.segments {
            let n_rows = self.rows.of_run(segment.n_rows).min(left);
            left -= n_rows;
            let window = usize::try_from(segment.i32(self.window)).unwrap_or(0);
            for p in segment.positions[cache]..segment.positions[cache] + n_rows {
                let (sinks, recent) = segment.specs[cache].in_view(p, p, window);
                // The kernel takes all sinks or none.
                let n_sinks = if sinks.is_empty() { 0 } else { sinks.end };
                most = most.max((n_sinks + recent.len()).div_ceil(SPLIT));
            }
        }
        most.min(max_splits)
    }
}

/// Parts of all positions in view of which each ends before loops do. Mesa's compiler unrolls the loops over heads in part, so that the rounds of a tile
/// were measured on lavapipe: 15 of 1 head of 64, 27 of 2 of 256, 23 of 4 of 128, 57 of 8 of 64, 86 of 8 of 128. This is at least 1.4 times as many.
fn least_parts(n_seen: usize, workgroup: usize, heads: usize, head_dim: usize) -> usize {
    let of_tile = 16 + heads * head_dim / 8;
    (n_seen.div_ceil(workgroup) * of_tile).div_ceil(MOST_ROUNDS).max(1)
}

/// How `attention_cooperative` divides its scores.
#[derive(Clone, Copy)]
struct AttentionTile {
    /// Queries of a workgroup.
    tokens: usize,
    /// Keys at a time.
    keys: usize,
    /// Invocations that share a query.
    share: usize,
}

/// Workgroup memory of `matrix_fragment` itself: zeros, where sums begin with them.
fn fragment_bytes(caps: &Caps) -> usize {
    if caps.matrix_edge == 8 { 256 } else { 0 }
}

impl AttentionTile {
    /// As many queries as workgroup memory holds beside a tile of keys; with wide heads fewer were faster (NVIDIA H200). None: not even 16, or
    /// heads that are wider than any that was tried.
    fn of(caps: &Caps, head_dim: usize) -> Option<Self> {
        // Each invocation has whole quads of the head.
        let share = if caps.matrix_edge == 16 && head_dim.is_multiple_of(32) { 8 } else { 4 };
        let keys = if caps.matrix_edge == 8 { 32 } else { 64 };
        let most = if head_dim <= 64 { 64 } else { 32 };
        let tiles = [64, 32, 16].map(|tokens| AttentionTile { tokens, keys, share });
        let fits = |tile: &AttentionTile| {
            let bytes = tile.bytes(head_dim) + fragment_bytes(caps) <= caps.workgroup_memory as usize;
            bytes && head_dim <= 128 && tile.tokens <= most && tile.tokens * share <= caps.workgroup_threads as usize
        };
        tiles.into_iter().find(fits)
    }

    /// Workgroup memory of the kernel without the matrices' fragment.
    fn bytes(self, head_dim: usize) -> usize {
        let (tokens, keys, quads) = (self.tokens, self.keys, head_dim / 4);
        let tiles = (tokens + keys) * (quads + 2) + tokens * (keys / 4 + 2);
        let sums = tokens * (quads.max(keys / 4) + 1);
        tiles * 8 + sums * 16 + keys * 4
    }
}

fn attention_work(k: &Attention, spec: &CacheSpec) -> Work {
    Work { each_row: (k.n_heads * k.head_dim * spec.window) as f64, rows: Some(k.rows) }
}

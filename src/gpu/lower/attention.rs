//! Attention over the ring: parts of the cache, then their merge.

use std::rc::Rc;

use super::super::assemble::Source;
use super::neural::neox;
use super::{Grid, Lowering, Operand, RunShape, Work, rows_words};
use crate::graph::{CacheIdx, CacheSpec, ExecError, KvType};
use crate::plan::{Attention, Rows};

/// Slots of a part where the cache is short; long caches are cut into at most `MAX_SPLITS` parts.
const SPLIT: usize = 64;
const MAX_SPLITS: usize = 32;

impl Lowering<'_> {
    pub(super) fn attention(&mut self, k: &Attention) -> Result<(), ExecError> {
        let (spec, layout) = self.cache(k.cache)?;
        let group = k.n_heads / spec.n_kv_heads;
        let quads = layout.head_dim / 4;
        // Queries twice, scores and three numbers for each head.
        let bytes = |heads: usize| heads * (2 * layout.head_dim + 64 + 3) * 4;
        let fits = |heads: &usize| group.is_multiple_of(*heads) && bytes(*heads) <= self.caps.workgroup_memory as usize && *heads <= 32;
        let Some(heads) = (1..=group).rev().find(fits) else {
            return Err(self.unsupported(format!("heads of {} elements do not fit into the workgroup memory of this device", k.head_dim)));
        };
        let workgroup = if self.caps.software { 32 } else { (heads * quads).next_power_of_two().clamp(64, 256) };
        let fragment = match spec.kv_type {
            KvType::F32 => "kv/f32",
            KvType::F16 => "kv/f16",
            KvType::Q8_0 => "kv/q8_0",
        };
        let source = Source::new("attention")
            .with("prelude/ring")
            .with(fragment)
            .set("D_PAD", layout.head_dim)
            .set("GROUP", heads)
            .set("WORKGROUP", workgroup);
        // Prefill has enough workgroups without parts, and would need room for each token's.
        let max_splits = if k.rows.count > 8 { 1 } else { MAX_SPLITS };
        let parts = if max_splits == 1 { Operand::Nothing } else { self.scratch(k.rows.count * k.n_heads * max_splits * (k.head_dim + 2)) };
        let [rows, dynamic] = rows_words(k.rows);
        let mut step = vec![rows, dynamic, k.n_heads as u32, self.word(k.scale), self.word(k.window), self.position_word(k.cache)];
        step.extend([spec.window, spec.sinks, spec.slots, spec.slots * spec.n_kv_heads, k.head_dim].map(|n| n as u32));
        step.extend(k.sink.map_or([0, 0], |r| [r.n_dims as u32, neox(&r)]));
        step.extend([max_splits as u32, group as u32]);
        // Not `Nothing`, which may be bound as the parts: a device refuses one buffer that is read and written.
        let sink_table = k.sink.map_or(k.q.into(), |r| r.table.into());
        let operands = vec![
            (2, k.q.into()),
            (3, Operand::Keys(k.cache, k.layer)),
            (4, Operand::Values(k.cache, k.layer)),
            (5, k.out.into()),
            (6, parts),
            (7, sink_table),
        ];
        let (n_blocks, spec_of_grid, rows_of_grid, cache) = (k.n_heads / heads, *spec, k.rows, k.cache);
        let grid = move |run: &RunShape| {
            let parts = n_parts(run, cache, &spec_of_grid, rows_of_grid).min(max_splits);
            [parts as u32, n_blocks as u32, rows_of_grid.of_run(run.n_tokens) as u32]
        };
        let work = Work { each_row: (k.n_heads * k.head_dim * spec.window) as f64, rows: Some(k.rows) };
        self.push(source, operands, step, Grid::PerRun(Rc::new(grid)), work);
        if max_splits > 1 {
            self.merge(k, spec, parts, max_splits);
        }
        Ok(())
    }

    fn merge(&mut self, k: &Attention, spec: &CacheSpec, parts: Operand, max_splits: usize) {
        let source = Source::new("attention_merge").set("SPLIT", SPLIT);
        let [rows, dynamic] = rows_words(k.rows);
        let mut step = vec![k.n_heads as u32, k.head_dim as u32, max_splits as u32, self.position_word(k.cache)];
        step.extend([spec.slots as u32, rows, dynamic]);
        let (n_heads, spec, rows, cache) = (k.n_heads as u32, *spec, k.rows, k.cache);
        let grid = move |run: &RunShape| {
            // One part was written to its place already.
            if n_parts(run, cache, &spec, rows) == 1 {
                return [0, 0, 0];
            }
            [n_heads, rows.of_run(run.n_tokens) as u32, 1]
        };
        self.push(source, vec![(2, parts), (3, k.out.into())], step, Grid::PerRun(Rc::new(grid)), Work::default());
    }
}

/// Parts of the slots in use: a function of the cache's length alone.
fn n_parts(run: &RunShape, cache: CacheIdx, spec: &CacheSpec, rows: Rows) -> usize {
    let position = run.positions.get(cache.0 as usize).copied().unwrap_or(0);
    let n_slots = (position + rows.of_run(run.n_tokens)).min(spec.slots);
    n_slots.div_ceil(SPLIT).clamp(1, MAX_SPLITS)
}

//! Embedding, norm, rotation and the cache's writes.

use super::super::assemble::Source;
use super::{Grid, Lowering, Operand, Work, rows_words};
use crate::graph::{ExecError, KvType, RopeStyle};
use crate::plan::{CacheStore, Embedding, Norm, Rope, RopeTable, View};

impl Lowering<'_> {
    pub(super) fn embedding(&mut self, k: &Embedding) {
        let placed = self.placed[k.table.0 as usize].clone();
        let groups = k.width.div_ceil(32);
        for (i, piece) in placed.pieces().iter().enumerate() {
            // The table may be part of a larger placement; `base` is where its rows begin there.
            let base = placed.base_row();
            let vocab = placed.n_rows();
            let (first, end) = (piece.first_row.max(base), (piece.first_row + piece.n_rows).min(base + vocab));
            if first >= end {
                continue;
            }
            let source = Source::new("embedding").with_weight(placed.format().fragments);
            let mut operands = vec![(2, k.ids.into()), (3, Operand::Quants(k.table, i)), (5, k.out.into())];
            if placed.format().has_scales() {
                operands.push((4, Operand::Scales(k.table, i)));
            }
            let [rows, dynamic] = rows_words(k.rows);
            let numbers = [k.width, vocab, first - base, end - first, first - piece.first_row];
            let step = [rows, dynamic].into_iter().chain(numbers.map(|n| n as u32)).collect();
            self.push(source, operands, step, Grid::rows(k.rows, groups, 64), Work::default());
        }
    }

    pub(super) fn norm(&mut self, x: Operand, k: &Norm) -> Result<(), ExecError> {
        self.norm_into(x, k, k.out.into())
    }

    pub(super) fn norm_into(&mut self, x: Operand, k: &Norm, out: Operand) -> Result<(), ExecError> {
        let workgroup = self.workgroup_for(if self.caps.software { 32 } else { 256 }, |threads| 2 * k.width / threads);
        self.check_rounds("a norm", k.width, 2 * k.width / workgroup)?;
        let source = Source::new("rms_norm").with("prelude/reduce").set("WORKGROUP", workgroup).set("LANES", workgroup);
        let operands = vec![(2, x), (3, k.weight.into()), (4, out)];
        let [rows, dynamic] = rows_words(k.rows);
        let step = vec![rows, dynamic, k.width as u32, self.word(k.eps)];
        self.push(source, operands, step, Grid::rows(k.rows, 1, 1), Work::default());
        Ok(())
    }

    pub(super) fn rope(&mut self, k: &Rope, view: &View, x: Operand) {
        let operands = vec![(2, x), (3, k.rope.table.into()), (4, k.out.into())];
        let [rows, dynamic] = rows_words(k.rows);
        let mut step = vec![rows, dynamic, k.n_heads as u32, k.head_dim as u32, k.rope.n_dims as u32, neox(&k.rope)];
        step.extend(view_words(view));
        self.push(Source::new("rope"), operands, step, Grid::rows(k.rows, k.n_heads * k.head_dim, 64), Work::default());
    }

    pub(super) fn cache_store(&mut self, k: &CacheStore) {
        if let Some(keys) = &k.k {
            self.cache_store_side(k, keys, keys.buf.into(), Operand::Keys(k.cache, k.layer), k.k_rope);
        }
        if let Some(values) = &k.v {
            self.cache_store_side(k, values, values.buf.into(), Operand::Values(k.cache, k.layer), None);
        }
    }

    /// Writes keys or values. `x` is the buffer that `view` describes.
    pub(super) fn cache_store_side(&mut self, k: &CacheStore, view: &View, x: Operand, cache: Operand, rope: Option<RopeTable>) {
        let Ok((spec, layout)) = self.cache(k.cache) else { return };
        // The elements of a unit are those of the fragment.
        let (fragment, unit) = match spec.kv_type {
            KvType::F32 => ("kv/f32_store", 8),
            KvType::F16 => ("kv/f16_store", 8),
            KvType::Q8_0 => ("kv/q8_0_store", 32),
        };
        let source = Source::new("cache_store")
            .with("prelude/ring")
            .with("prelude/half")
            .with(fragment)
            .set("D_PAD", layout.head_dim)
            .set("ROTATE", rope.is_some());
        let mut operands = vec![(2, x), (4, cache)];
        operands.extend(rope.map(|r| (3, r.table.into())));
        let [rows, dynamic] = rows_words(k.rows);
        let mut step = vec![rows, dynamic, k.n_kv_heads as u32, k.head_dim as u32];
        step.extend(rope.map_or([0, 0], |r| [r.n_dims as u32, neox(&r)]));
        step.extend(view_words(view));
        step.push(self.position_word(k.cache));
        step.extend([spec.sinks, spec.slots, spec.slots * spec.n_kv_heads].map(|n| n as u32));
        let units = layout.head_dim / unit;
        self.push(source, operands, step, Grid::rows(k.rows, k.n_kv_heads * units, 64), Work::default());
    }
}

pub(super) fn neox(rope: &RopeTable) -> u32 {
    u32::from(rope.style == RopeStyle::Neox)
}

/// Offset and three strides.
fn view_words(view: &View) -> [u32; 4] {
    let stride = |i: usize| view.strides.get(i).map_or(0, |&s| s as i32 as u32);
    [view.offset as u32, stride(0), stride(1), stride(2)]
}

//! Embedding, norm, rotation and the cache's writes.

use super::super::assemble::Source;
use super::super::quant::{QUANTS, SCALES, WeightFormat};
use super::{Arguments, Grid, Lowering, Operand, kv_rows, of_rows};
use crate::graph::{ExecError, KvType, RopeStyle};
use crate::plan::{CacheStore, Embedding, Norm, PlacedId, Rope, RopeTable, View};

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
            let arguments = of_rows(k.rows)
                .set("width", k.width)
                .set("vocab", vocab)
                .set("first_row", first - base)
                .set("n_rows", end - first)
                .set("base_row", first - piece.first_row)
                .bind("ids", k.ids)
                .bind("out", k.out);
            self.push(source, with_piece(arguments, placed.format(), k.table, i), Grid::rows(k.rows, groups, 64));
        }
    }

    pub(super) fn norm(&mut self, x: Operand, k: &Norm) -> Result<(), ExecError> {
        self.norm_into(x, k, k.out.into())
    }

    pub(super) fn norm_into(&mut self, x: Operand, k: &Norm, out: Operand) -> Result<(), ExecError> {
        let workgroup = self.workgroup_for(if self.caps.software { 32 } else { 256 }, |threads| 2 * k.width / threads);
        self.check_rounds("a norm", k.width, 2 * k.width / workgroup)?;
        let source = Source::new("rms_norm").with("prelude/reduce").set("WORKGROUP", workgroup).set("LANES", workgroup);
        let arguments =
            of_rows(k.rows).set("width", k.width).set("eps", self.word(k.eps)).bind("x", x).bind("weight", k.weight).bind("out", out);
        self.push(source, arguments, Grid::rows(k.rows, 1, 1));
        Ok(())
    }

    pub(super) fn rope(&mut self, k: &Rope, view: &View, x: Operand) {
        let arguments = of_rows(k.rows)
            .set("n_heads", k.n_heads)
            .set("head_dim", k.head_dim)
            .set("n_dims", k.rope.n_dims)
            .set("neox", is_neox(&k.rope))
            .bind("x", x)
            .bind("table", k.rope.table)
            .bind("out", k.out);
        self.push(Source::new("rope"), with_view(arguments, view), Grid::rows(k.rows, k.n_heads * k.head_dim, 64));
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
            .with("prelude/pages")
            .with("prelude/half")
            .with(fragment)
            .set("D_PAD", layout.head_dim)
            .set("ROTATE", rope.is_some())
            .set("PAGE", spec.page);
        let arguments = of_rows(k.rows)
            .set("n_kv_heads", k.n_kv_heads)
            .set("head_dim", k.head_dim)
            .set("n_dims", rope.map_or(0, |r| r.n_dims))
            .set("neox", rope.is_some_and(|r| is_neox(&r)))
            .set("places", self.places_word(k.cache))
            .set("kv_rows", kv_rows(spec))
            .bind("x", x)
            .bind_some("table", rope.map(|r| r.table))
            .bind("cache", cache);
        let units = layout.head_dim / unit;
        self.push(source, with_view(arguments, view), Grid::rows(k.rows, k.n_kv_heads * units, 64));
    }
}

pub(super) fn is_neox(rope: &RopeTable) -> bool {
    rope.style == RopeStyle::Neox
}

/// With the quants and scales of a piece of a weight.
pub(super) fn with_piece(arguments: Arguments, format: &WeightFormat, weight: PlacedId, piece: usize) -> Arguments {
    let scales = format.has_scales().then_some(Operand::Scales(weight, piece));
    arguments.bind(QUANTS.0, Operand::Quants(weight, piece)).bind_some(SCALES.0, scales)
}

/// With the offset and the three strides of x.
fn with_view(arguments: Arguments, view: &View) -> Arguments {
    let stride = |i: usize| view.strides.get(i).copied().unwrap_or(0);
    arguments.set("offset", view.offset).set("stride_t", stride(0)).set("stride_h", stride(1)).set("stride_d", stride(2))
}

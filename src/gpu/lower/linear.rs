//! Linear layers: matrix-vector kernels with prologue and epilogue for few rows, tiles for many, and separate kernels where neither fits.

use super::super::assemble::Source;
use super::super::caps::Caps;
use super::super::quant::{Quants, WeightFormat};
use super::super::tuning::{MatvecTuning, MatvecWork, pairs_at_once, takes_pairs};
use super::super::variants::Variant;
use super::super::weights::Placed;
use super::neural::with_piece;
use super::{Arguments, Grid, Lowering, Operand, RunShape, Work, fold, kv_rows, of_rows};
use crate::graph::{ExecError, KvType, RopeStyle, UnaryOp};
use crate::plan::{Buf, CacheStore, Epilogue, Linear, Norm, Rope, Rows, View};
use std::sync::Arc;

/// The most rows that matrix-vector kernels take.
pub const MATVEC_ROWS: usize = 8;

/// The x of a linear after what had to be done to it beforehand.
struct Prepared {
    x: Operand,
    /// Norm weight and the run's word of eps, where the norm is a prologue.
    norm: Option<(Buf, usize)>,
}

impl Lowering<'_> {
    pub(super) fn linear(&mut self, k: &Linear) -> Result<(), ExecError> {
        // A lane may take a whole row, a group of 32 columns with every row of its block at a time.
        self.check_rounds("a linear layer", k.k, k.k / 2)?;
        let prepared = self.prepare(k)?;
        let few = self.few(k);
        let placed = self.placed[k.weight.0 as usize].clone();
        let one_piece = placed.pieces_of(k.first_row, k.n).count() == 1;
        match &k.epilogue {
            Epilogue::Store { bias, residual, out } => {
                self.store(k, &prepared, &placed, *bias, *residual, (*out).into());
            }
            Epilogue::Gated { act, out } => {
                let Some(act_number) = activation_number(*act) else {
                    return Err(self.unsupported(format!("{act:?} as a gate on the GPU").to_lowercase()));
                };
                if one_piece && self.caps.uses(Variant::GatedEpilogue) && (few || self.cooperative(k)) {
                    self.gated(k, &prepared, &placed, act_number, *out);
                } else {
                    let y = self.shared_scratch("gate and up", k.rows.count * k.n);
                    self.store(k, &prepared, &placed, None, None, y);
                    let source = Source::new("gated").with("prelude/math").with("prelude/activation");
                    let arguments = of_rows(k.rows).set("width", k.n / 2).set("act", act_number).bind("y", y).bind("out", *out);
                    self.push(source, arguments, Grid::rows(k.rows, k.n / 2, 64));
                }
            }
            Epilogue::RopeStore { .. } => {
                let tuning = self.tuning(k, placed.format());
                let fits = if few { self.rope_store_fits(k, &tuning) } else { self.rotates_tiles(k) };
                if fits && one_piece && self.caps.uses(Variant::RopeStoreEpilogue) {
                    self.rope_store(k, &prepared, &placed)?;
                } else {
                    self.rope_store_apart(k, &prepared, &placed);
                }
            }
        }
        Ok(())
    }

    /// Whether a matrix-vector kernel takes these rows. On software adapters registers hold more than one token best.
    fn few(&self, k: &Linear) -> bool {
        self.caps.uses(Variant::Matvec) && k.rows.count <= if self.caps.software { 1 } else { MATVEC_ROWS }
    }

    /// Norm as a prologue where the matvec can take it, as a kernel of its own otherwise; f16 for the matrix units.
    fn prepare(&mut self, k: &Linear) -> Result<Prepared, ExecError> {
        if self.cooperative(k) {
            return Ok(Prepared { x: self.narrow(k), norm: None });
        }
        let Some((weight, eps)) = k.norm else {
            return Ok(Prepared { x: k.x.into(), norm: None });
        };
        if self.few(k) && k.k.is_multiple_of(32) && self.caps.uses(Variant::NormPrologue) {
            return Ok(Prepared { x: k.x.into(), norm: Some((weight, self.word(eps))) });
        }
        let out = self.scratch(k.rows.count * k.k);
        let norm = Norm { x: k.x, weight, eps, out: k.x, rows: k.rows, width: k.k };
        self.norm_into(k.x.into(), &norm, out)?;
        Ok(Prepared { x: out, norm: None })
    }

    /// Whether the matrix units take these rows: f16, which holds no f32 weights.
    fn cooperative(&self, k: &Linear) -> bool {
        let narrow = self.placed[k.weight.0 as usize].format().fits_f16();
        self.caps.matrix_edge > 0 && narrow && !self.few(k) && k.k.is_multiple_of(32)
    }

    /// x after its norm, in f16.
    fn narrow(&mut self, k: &Linear) -> Operand {
        let out = self.shared_scratch("narrowed", (k.rows.count * k.k).div_ceil(2));
        let workgroup = 256.min(self.caps.workgroup_threads as usize);
        let prologue = if k.norm.is_some() { "prologue/rms_norm" } else { "prologue/plain" };
        let source =
            Source::new("narrow").with("prelude/reduce").with(prologue).set("WORKGROUP", workgroup).set("LANES", workgroup).set("K", k.k);
        let norm = k.norm.map(|(weight, eps)| (weight, self.word(eps)));
        let arguments = with_norm(of_rows(k.rows), norm).bind("x", k.x).bind("out", out);
        self.push(source, arguments, Grid::rows(k.rows, 1, 1));
        out
    }

    fn store(&mut self, k: &Linear, prepared: &Prepared, placed: &Placed, bias: Option<Buf>, residual: Option<Buf>, out: Operand) {
        let few = self.few(k);
        for part in placed.pieces_of(k.first_row, k.n) {
            let switches = |source: Source| source.set("HAS_BIAS", bias.is_some()).set("HAS_RESIDUAL", residual.is_some());
            let arguments = of_weight_rows(k, part.n, part.row)
                .set("out_width", k.n)
                .set("out_first", part.out)
                .bind("out", out)
                .bind_some("bias", bias)
                .bind_some("residual", residual);
            if few {
                let (source, tuning, arguments) = self.matvec(k, prepared, placed, part.index, arguments);
                let grid = matvec_grid(part.n.div_ceil(tuning.slots() * tuning.passes), k.rows, tuning.cols);
                self.push_work(switches(source.with("epilogue/store")), arguments, grid, work(k));
            } else {
                let (source, tile, arguments) = self.matrix(k, prepared, placed, (part.index, part.n), arguments);
                let source = if self.cooperative(k) { source.with("epilogue/tile_rows").with("epilogue/tile_store") } else { source };
                let grid = tile_grid(part.n.div_ceil(tile.0), k.rows, tile.1);
                self.push_work(switches(source.with("epilogue/matrix")), arguments, grid, work(k));
            }
        }
    }

    /// The kernel for many tokens without its epilogue, for a piece of the weight of which n rows are used; a tile's rows and tokens; and what
    /// the kernel takes beside the arguments of its epilogue.
    fn matrix(
        &self,
        k: &Linear,
        prepared: &Prepared,
        placed: &Placed,
        (piece, n): (usize, usize),
        arguments: Arguments,
    ) -> (Source, (usize, usize), Arguments) {
        let format = placed.format();
        let (source, n_tile, t_tile) = if self.caps.software {
            // One subgroup, which shares its loads of x.
            let (workgroup, rows, cols) = (8, 4, 4);
            let prologue = if k.k.is_multiple_of(32) { "prologue/plain" } else { "prologue/ragged" };
            let source = Source::new("matmul_registers")
                .set("WORKGROUP", workgroup)
                .set("ROWS", rows)
                .set("COLS", cols)
                .set("K", k.k)
                .with(prologue)
                .with("prelude/quads");
            (source, workgroup * rows, cols)
        } else if self.cooperative(k) {
            let tile = CooperativeTile::of(self.caps, n, k.rows.count);
            let source = Source::new("matmul_cooperative")
                .set("SUBGROUPS_N", tile.subgroups_n)
                .set("SUBGROUPS_T", tile.subgroups_t)
                .set("WIDE", tile.wide)
                .set("DEPTH", tile.depth)
                .with(matrix_fragment(self.caps));
            (source, tile.rows(), tile.tokens())
        } else {
            (Source::new("matmul"), 64, 64)
        };
        let arguments = arguments.set("k", k.k).set("groups", k.k.div_ceil(32)).bind("x", prepared.x);
        let arguments = with_piece(arguments, format, k.weight, piece);
        (source.with_weight(format.fragments), (n_tile, t_tile), arguments)
    }

    /// Of a weight in one piece: few rows, or many on the matrix units.
    fn gated(&mut self, k: &Linear, prepared: &Prepared, placed: &Placed, act: u32, out: Buf) {
        for part in placed.pieces_of(k.first_row, k.n) {
            let arguments = of_weight_rows(k, k.n, part.row).bind("out", out);
            let (source, arguments, grid) = if self.few(k) {
                let (source, tuning, arguments) = self.matvec(k, prepared, placed, part.index, arguments.set("act", act));
                let grid = matvec_grid((k.n / 2).div_ceil(tuning.slots() / 2 * tuning.passes), k.rows, tuning.cols);
                (source.with("epilogue/gated"), arguments, grid)
            } else {
                let (source, tile, arguments) = self.matrix(k, prepared, placed, (part.index, k.n), arguments);
                let grid = tile_grid((k.n / 2).div_ceil(tile.0 / 2), k.rows, tile.1);
                (source.with("epilogue/tile_gated").set("ACT", act), arguments, grid)
            };
            self.push_work(source.with("prelude/math").with("prelude/activation"), arguments, grid, work(k));
        }
    }

    /// Whether blocks of slots lie in one head, pairs together, and hold what the cache's type packs together.
    fn rope_store_fits(&self, k: &Linear, tuning: &MatvecTuning) -> bool {
        let Epilogue::RopeStore { head_dim, rope, cache, .. } = &k.epilogue else { return false };
        let Ok((spec, layout)) = self.cache(*cache) else { return false };
        let slots = tuning.slots();
        // With the other order of pairs a block of slots holds halves of two runs of elements.
        let packs = spec.kv_type != KvType::Q8_0 || slots.is_multiple_of(32) && rope.style != RopeStyle::Neox;
        packs
            && layout.head_dim == *head_dim
            && head_dim.is_multiple_of(slots)
            && rope.n_dims.is_multiple_of(slots)
            && slots.is_multiple_of(4)
    }

    /// Whether the matrix units' kernel rotates and stores: pairs are neighbours, and no block of a cache spans two matrices.
    fn rotates_tiles(&self, k: &Linear) -> bool {
        let Epilogue::RopeStore { head_dim, rope, cache, .. } = &k.epilogue else { return false };
        let Ok((spec, layout)) = self.cache(*cache) else { return false };
        let pairs = rope.style == RopeStyle::Interleaved && head_dim.is_multiple_of(2) && rope.n_dims.is_multiple_of(2);
        self.cooperative(k) && pairs && spec.kv_type != KvType::Q8_0 && layout.head_dim == *head_dim
    }

    fn rope_store(&mut self, k: &Linear, prepared: &Prepared, placed: &Placed) -> Result<(), ExecError> {
        let Epilogue::RopeStore { bias, n_heads, n_kv_heads, head_dim, rope, q_out, cache, layer, .. } = &k.epilogue else {
            return Ok(());
        };
        let (spec, _) = self.cache(*cache)?;
        for part in placed.pieces_of(k.first_row, k.n) {
            let arguments = of_weight_rows(k, k.n, part.row)
                .set("n_heads", *n_heads)
                .set("n_kv_heads", *n_kv_heads)
                .set("places", self.places_word(*cache))
                .set("kv_rows", kv_rows(spec))
                .bind("q_out", *q_out)
                .bind("keys", Operand::Keys(*cache, *layer))
                .bind("values", Operand::Values(*cache, *layer))
                .bind_some("bias", *bias)
                .bind("table", rope.table);
            let (source, arguments, grid) = if self.few(k) {
                let (source, tuning, arguments) = self.matvec(k, prepared, placed, part.index, arguments);
                let source = source
                    .with("epilogue/rope_store")
                    .set("NEOX", rope.style == RopeStyle::Neox)
                    .set("KV_Q8_0", spec.kv_type == KvType::Q8_0)
                    .set("TABLE", rope_table_len(rope.n_dims));
                (source, arguments, matvec_grid(k.n.div_ceil(tuning.slots() * tuning.passes), k.rows, tuning.cols))
            } else {
                let (source, tile, arguments) = self.matrix(k, prepared, placed, (part.index, k.n), arguments);
                let source = source.with("epilogue/tile_rows").with("epilogue/tile_rope_store");
                (source, arguments, tile_grid(k.n.div_ceil(tile.0), k.rows, tile.1))
            };
            let source = source
                .with("prelude/pages")
                .with("prelude/half")
                .with("epilogue/heads")
                .set("D", *head_dim)
                .set("N_DIMS", rope.n_dims)
                .set("KV_F16", spec.kv_type == KvType::F16)
                .set("HAS_BIAS", bias.is_some())
                .set("PAGE", spec.page);
            self.push_work(source, arguments, grid, work(k));
        }
        Ok(())
    }

    /// The same as three or four kernels with the sums in between.
    fn rope_store_apart(&mut self, k: &Linear, prepared: &Prepared, placed: &Placed) {
        let Epilogue::RopeStore { bias, n_heads, n_kv_heads, head_dim, has_v, rope, q_out, cache, layer } = &k.epilogue else {
            return;
        };
        let y = self.shared_scratch("heads", k.rows.count * k.n);
        self.store(k, prepared, placed, *bias, None, y);
        let d = *head_dim as isize;
        // The buffer of the view is `y`, which is no buffer of the plan.
        let view = |first_head: usize| View { buf: *q_out, offset: first_head * head_dim, strides: vec![k.n as isize, d, 1] };
        let rotation = Rope { x: view(0), rope: *rope, out: *q_out, rows: k.rows, n_heads: *n_heads, head_dim: *head_dim };
        self.rope(&rotation, &view(0), y);
        let store = CacheStore {
            k: None,
            v: None,
            k_rope: Some(*rope),
            rows: k.rows,
            n_kv_heads: *n_kv_heads,
            head_dim: *head_dim,
            cache: *cache,
            layer: *layer,
        };
        self.cache_store_side(&store, &view(*n_heads), y, Operand::Keys(*cache, *layer), Some(*rope));
        if *has_v {
            self.cache_store_side(&store, &view(n_heads + n_kv_heads), y, Operand::Values(*cache, *layer), None);
        }
    }

    /// Words whose products add up in 16 bits, where `prelude/dot_pairs` takes these weights.
    fn words_at_once(&self, format: &WeightFormat) -> Option<usize> {
        if !(self.caps.software && self.caps.uses(Variant::DotPairs)) {
            return None;
        }
        match format.quants {
            Quants::Unsigned(..=4) => Some(4),
            Quants::Unsigned(5) => Some(2),
            Quants::Unsigned(6) => Some(1),
            _ => None,
        }
    }

    fn tuning(&self, k: &Linear, format: &WeightFormat) -> MatvecTuning {
        self.tuning.matvec(self.caps, &matvec_work(k, format))
    }

    /// The kernel for few tokens without its epilogue, for a piece of the weight; its shape; and what the kernel takes beside the arguments of its
    /// epilogue.
    fn matvec(
        &self,
        k: &Linear,
        prepared: &Prepared,
        placed: &Placed,
        piece: usize,
        arguments: Arguments,
    ) -> (Source, MatvecTuning, Arguments) {
        let format = placed.format();
        let tuning = self.tuning(k, format);
        let prologue = match (prepared.norm.is_some(), k.k.is_multiple_of(32)) {
            (true, _) => "prologue/rms_norm",
            (false, true) => "prologue/plain",
            (false, false) => "prologue/ragged",
        };
        let pairs = tuning.int8 && takes_pairs(self.caps, k.k);
        let op = match tuning.int8 {
            true if pairs => "matvec_pairs",
            true => "matvec_i8",
            false => "matvec",
        };
        let mut source = Source::new(op)
            .set("WORKGROUP", tuning.workgroup)
            .set("LANES", tuning.lanes)
            .set("ROWS", tuning.rows)
            .set("COLS", tuning.cols)
            .set("PASSES", tuning.passes)
            .set("SLOTS", tuning.slots())
            .set("K", k.k)
            .set("GROUPS", k.k.div_ceil(32))
            .with("prelude/reduce")
            .with(prologue)
            .with_weight(format.fragments);
        if tuning.int8 {
            source = match self.words_at_once(format) {
                Some(n_words) => source.with("prelude/dot_pairs").set("WORDS_AT_ONCE", n_words),
                None => source.with("prelude/dot_packed"),
            };
            source.fragments.push("prelude/quantize");
            source.fragments.push("prelude/rows_i8");
            if pairs {
                source = source.set("AT_ONCE", pairs_at_once(k.k / 64, tuning.lanes));
                source.fragments.extend(format.pair_fragments(self.caps.words_64));
            }
        }
        let arguments = with_norm(arguments, prepared.norm).bind("x", prepared.x);
        (source, tuning, with_piece(arguments, format, k.weight, piece))
    }
}

/// Arguments that begin with the rows of x, then those of the weight: n from the first.
fn of_weight_rows(k: &Linear, n: usize, first_row: usize) -> Arguments {
    of_rows(k.rows).set("n", n).set("first_row", first_row)
}

/// With the weight of a norm and the run's word of its eps, which no kernel reads where there is no norm.
fn with_norm(arguments: Arguments, norm: Option<(Buf, usize)>) -> Arguments {
    arguments.set("eps", norm.map_or(0, |n| n.1)).bind_some("norm_weight", norm.map(|n| n.0))
}

/// How `matmul_cooperative` divides its sums.
#[derive(Clone, Copy)]
struct CooperativeTile {
    subgroups_n: usize,
    subgroups_t: usize,
    /// Blocks of 16 rows of a subgroup, each for 32 tokens: 2 or 4.
    wide: usize,
    /// Groups of 32 columns at a time.
    depth: usize,
}

impl CooperativeTile {
    /// 128 rows and 128 tokens: each weight is widened half as often.
    const LARGE: CooperativeTile = CooperativeTile { subgroups_n: 2, subgroups_t: 4, wide: 4, depth: 2 };
    /// 64 rows and 64 tokens.
    const SMALL: CooperativeTile = CooperativeTile { subgroups_n: 2, subgroups_t: 2, wide: 2, depth: 2 };
    /// The same with two thirds of the workgroup memory: Apple's GPUs hold as many workgroups at a time as have room.
    const SMALL_SHALLOW: CooperativeTile = CooperativeTile { depth: 1, ..Self::SMALL };
    /// The large one within 32 KiB.
    const LARGE_SHALLOW: CooperativeTile = CooperativeTile { depth: 1, ..Self::LARGE };
    /// As many workgroups as it takes to fill a large GPU: with fewer, smaller tiles are faster.
    const LEAST_LARGE: usize = 128;

    fn of(caps: &Caps, n: usize, n_tokens: usize) -> Self {
        if caps.matrix_edge == 8 {
            return Self::SMALL_SHALLOW;
        }
        let fits = |tile: &Self| {
            let (bytes, threads) = (tile.bytes(), tile.threads());
            bytes <= caps.workgroup_memory as usize && threads <= caps.workgroup_threads as usize
        };
        let is_worth = |tile: &Self| n.div_ceil(tile.rows()) * n_tokens.div_ceil(tile.tokens()) >= Self::LEAST_LARGE;
        let large = [Self::LARGE, Self::LARGE_SHALLOW].into_iter().find(fits);
        large.filter(is_worth).unwrap_or(Self::SMALL)
    }

    fn rows(self) -> usize {
        self.subgroups_n * self.wide * 16
    }

    fn tokens(self) -> usize {
        self.subgroups_t * 32
    }

    fn threads(self) -> usize {
        self.subgroups_n * self.subgroups_t * 32
    }

    /// Workgroup memory of the kernel with matrices of 16 × 16.
    fn bytes(self) -> usize {
        (self.rows() + self.tokens()) * (8 * self.depth + 2) * 8 + self.threads() / 32 * 16 * 20 * 4
    }
}

/// The fragment of the matrix units' matrices.
pub fn matrix_fragment(caps: &Caps) -> &'static str {
    if caps.matrix_edge == 8 { "matrix/edge_8" } else { "matrix/edge_16" }
}

/// What a matrix-vector kernel has to do for this step.
pub fn matvec_work<'a>(k: &Linear, format: &'a WeightFormat) -> MatvecWork<'a> {
    let epilogue = match k.epilogue {
        Epilogue::Store { .. } => "store",
        Epilogue::Gated { .. } => "gated",
        Epilogue::RopeStore { .. } => "rope_store",
    };
    MatvecWork { format, n: k.n, k: k.k, n_tokens: k.rows.count, normed: k.norm.is_some(), epilogue }
}

/// Vectors of four numbers in a table of rotations for up to `MATVEC_ROWS` tokens.
pub fn rope_table_len(n_dims: usize) -> usize {
    (MATVEC_ROWS * n_dims).div_ceil(4)
}

fn matvec_grid(blocks: usize, rows: Rows, cols: usize) -> Grid {
    let [x, y, _] = fold(blocks);
    Grid::PerRun(Arc::new(move |run: &RunShape| [x, y, rows.of_run(run.n_tokens).div_ceil(cols) as u32]))
}

/// Tiles of rows by tiles of tokens.
fn tile_grid(tiles: usize, rows: Rows, t_tile: usize) -> Grid {
    Grid::PerRun(Arc::new(move |run: &RunShape| [tiles as u32, rows.of_run(run.n_tokens).div_ceil(t_tile) as u32, 1]))
}

fn work(k: &Linear) -> Work {
    Work { each_row: k.n as f64 * k.k as f64, rows: Some(k.rows) }
}

/// The numbers of `prelude/activation`.
fn activation_number(act: UnaryOp) -> Option<u32> {
    match act {
        UnaryOp::Silu => Some(0),
        UnaryOp::Gelu => Some(1),
        UnaryOp::Relu => Some(2),
        UnaryOp::Sigmoid => Some(3),
        UnaryOp::Tanh => Some(4),
        _ => None,
    }
}

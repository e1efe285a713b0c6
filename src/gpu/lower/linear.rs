//! Linear layers: matrix-vector kernels with prologue and epilogue for few rows, tiles for many, and separate kernels where neither fits.

use super::super::assemble::Source;
use super::super::quant::{Quants, WeightFormat};
use super::super::tuning::{MatvecTuning, MatvecWork, of_few_rows, pairs_at_once, takes_pairs};
use super::super::variants::Variant;
use super::super::weights::{PieceRows, Placed};
use super::neural::with_piece;
use super::tiles::{CooperativeTile, shares};
use super::{Arguments, Grid, Lowering, Operand, RunShape, Work, kv_rows, of_rows};
use crate::graph::{ExecError, KvType, RopeStyle, UnaryOp};
use crate::plan::{Buf, CacheStore, Epilogue, Linear, Norm, Rope, Rows, ScalarRef, View};
use std::sync::Arc;

/// The most rows that matrix-vector kernels take.
pub const MATVEC_ROWS: usize = 8;

/// The x of a linear after what had to be done to it beforehand.
struct Prepared {
    x: Activations,
    /// Norm weight and the run's word of eps, where the norm is a prologue.
    norm: Option<(Buf, usize)>,
}

/// What a kernel multiplies weights with.
enum Activations {
    Plain(Operand),
    /// Those of a few rows in eight bits: quants, and scales and sums.
    Rounded(Operand, Operand),
}

/// Sums over the columns of each share.
struct Parts {
    shares: usize,
    sums: Operand,
}

/// Invocations of a workgroup that adds up the parts of sums.
const JOIN_WORKGROUP: usize = 128;

impl Parts {
    /// The kernel that adds them up, with the fragments of its epilogue.
    fn source(&self, epilogue: &[&'static str]) -> Source {
        let source = Source::new("join").set("SHARES", self.shares).set("WORKGROUP", JOIN_WORKGROUP);
        epilogue.iter().fold(source, |source, fragment| source.with(fragment))
    }

    fn arguments(&self, k: &Linear, of_epilogue: Arguments) -> Arguments {
        of_epilogue.set("k", k.k).set("groups", k.k.div_ceil(32)).bind("parts", self.sums)
    }

    fn grid(&self, k: &Linear, each_row: usize) -> Grid {
        Grid::rows(k.rows, each_row, JOIN_WORKGROUP)
    }
}

/// A linear's rows in eight bits, and of what they were made.
pub(super) struct RoundedRows {
    step_idx: usize,
    x: Buf,
    norm: Option<(Buf, ScalarRef)>,
    rows: Rows,
    workgroup: usize,
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
                let tuning = self.shape(k, placed.format());
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

    /// Whether a matrix-vector kernel takes these rows.
    fn few(&self, k: &Linear) -> bool {
        self.caps.uses(Variant::Matvec) && k.rows.count <= MATVEC_ROWS
    }

    /// Norm as a prologue where the matvec can take it, as a kernel of its own otherwise; f16 for the matrix units.
    fn prepare(&mut self, k: &Linear) -> Result<Prepared, ExecError> {
        if self.cooperative(k) {
            return Ok(Prepared { x: Activations::Plain(self.narrow(k)), norm: None });
        }
        let few = self.few(k);
        let as_prologue = few && k.k.is_multiple_of(32) && self.caps.uses(Variant::NormPrologue);
        let (mut x, mut norm) = (Operand::from(k.x), k.norm.filter(|_| as_prologue));
        if let Some((weight, eps)) = k.norm.filter(|_| !as_prologue) {
            x = self.scratch(k.rows.count * k.k);
            let apart = Norm { x: k.x, weight, eps, out: k.x, rows: k.rows, width: k.k };
            self.norm_into(k.x.into(), &apart, x)?;
        }
        let one = self.tuning.matvec(self.caps, &matvec_work(k, self.placed[k.weight.0 as usize].format()));
        let x = if few && one.int8 && k.rows.count > 1 { self.rounded(k, x, norm.take(), one.workgroup) } else { Activations::Plain(x) };
        Ok(Prepared { x, norm: norm.map(|(weight, eps)| (weight, self.word(eps))) })
    }

    /// Quantizes a few rows of activations to eight bits in a dispatch of their own. `workgroup`: invocations of the kernel for one row, which sets the
    /// order in which the norm adds up squares. Where the linear before took the same rows, its result serves.
    fn rounded(&mut self, k: &Linear, x: Operand, norm: Option<(Buf, ScalarRef)>, workgroup: usize) -> Activations {
        let (groups, rows) = (k.k / 32, k.rows.count);
        let quants = self.shared_scratch("rounded", rows * groups * 8);
        let scales = self.shared_scratch("rounded groups", rows * (groups + 1) * 2);
        let made = RoundedRows { step_idx: self.step_idx, x: k.x, norm, rows: k.rows, workgroup };
        let is_same = |last: &RoundedRows| {
            let of_same = last.x == made.x && last.norm == made.norm && last.rows == made.rows && last.workgroup == made.workgroup;
            last.step_idx + 1 == made.step_idx && of_same && x == Operand::from(k.x)
        };
        let again = !self.rounded.as_ref().is_some_and(is_same);
        self.rounded = Some(made).filter(|_| x == Operand::from(k.x));
        if again {
            let source = Source::new("quantize")
                .set("WORKGROUP", workgroup)
                .set("LANES", workgroup)
                .set("K", k.k)
                .set("GROUPS", groups)
                .with("prelude/reduce")
                .with(if norm.is_some() { "prologue/rms_norm" } else { "prologue/plain" })
                .with("prelude/quantize");
            let norm = norm.map(|(weight, eps)| (weight, self.word(eps)));
            // A norm's squares are those of a whole row.
            let parts = if norm.is_some() { 1 } else { (k.k / 4).div_ceil(workgroup) };
            let of_run = k.rows;
            let grid = Grid::PerRun(Arc::new(move |run: &RunShape| [parts as u32, of_run.of_run(run.n_tokens) as u32, 1]));
            let arguments = with_norm(of_rows(k.rows), norm).bind("x", x).bind("x_quants", quants).bind("x_groups", scales);
            self.push(source, arguments, grid);
        }
        Activations::Rounded(quants, scales)
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
                let grid = Grid::flat(part.n.div_ceil(tuning.slots() * tuning.passes));
                self.push_work(switches(source.with("epilogue/store")), arguments, grid, work(k));
            } else if let Some(parts) = self.parts(k, prepared, placed, &part) {
                let source = switches(parts.source(&["epilogue/matrix", "epilogue/join_store"]));
                self.push(source, parts.arguments(k, arguments), parts.grid(k, part.n.div_ceil(2)));
            } else {
                let (source, tile, arguments) = self.matrix(k, prepared, placed, (part.index, part.n), arguments);
                let source = if self.cooperative(k) { source.with("epilogue/tile_rows").with("epilogue/tile_store") } else { source };
                let grid = tile_grid(part.n.div_ceil(tile.0), k.rows, tile.1, 1);
                self.push_work(switches(source.with("epilogue/matrix")), arguments, grid, work(k));
            }
        }
    }

    /// Where workgroups share the columns of the sums of a weight's piece: the dispatch that leaves those of each share, for `join` to add up.
    fn parts(&mut self, k: &Linear, prepared: &Prepared, placed: &Placed, piece: &PieceRows) -> Option<Parts> {
        let shares = if self.cooperative(k) { shares(self.caps, piece.n, k.k, k.rows.count) } else { 1 };
        if shares == 1 {
            return None;
        }
        let sums = self.shared_scratch("sums of shares", shares * k.rows.count * piece.n.next_multiple_of(2));
        let arguments = of_weight_rows(k, piece.n, piece.row).bind("parts", sums);
        let (source, tile, arguments) = self.matrix(k, prepared, placed, (piece.index, piece.n), arguments);
        let source = source.with("epilogue/tile_rows").with("epilogue/tile_parts");
        self.push_work(source, arguments, tile_grid(piece.n.div_ceil(tile.0), k.rows, tile.1, shares), work(k));
        Some(Parts { shares, sums })
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
            let source = tile.source(self.caps);
            (source, tile.rows(), tile.tokens())
        } else {
            (Source::new("matmul"), 64, 64)
        };
        let arguments = with_x(arguments.set("k", k.k).set("groups", k.k.div_ceil(32)), prepared);
        let arguments = with_piece(arguments, format, k.weight, piece);
        (source.with_weight(format.fragments), (n_tile, t_tile), arguments)
    }

    /// Of a weight in one piece: few rows, or many on the matrix units.
    fn gated(&mut self, k: &Linear, prepared: &Prepared, placed: &Placed, act: u32, out: Buf) {
        for part in placed.pieces_of(k.first_row, k.n) {
            let arguments = of_weight_rows(k, k.n, part.row).bind("out", out);
            let even = k.n.is_multiple_of(4);
            let (source, arguments, grid, work) = if self.few(k) {
                let (source, tuning, arguments) = self.matvec(k, prepared, placed, part.index, arguments.set("act", act));
                let grid = Grid::flat((k.n / 2).div_ceil(tuning.slots() / 2 * tuning.passes));
                (source.with("epilogue/gated"), arguments, grid, work(k))
            } else if let Some(parts) = even.then(|| self.parts(k, prepared, placed, &part)).flatten() {
                let source = parts.source(&["epilogue/join_gated"]).set("ACT", act);
                (source, parts.arguments(k, arguments), parts.grid(k, k.n / 4), Work::default())
            } else {
                let (source, tile, arguments) = self.matrix(k, prepared, placed, (part.index, k.n), arguments);
                let grid = tile_grid((k.n / 2).div_ceil(tile.0 / 2), k.rows, tile.1, 1);
                (source.with("epilogue/tile_gated").set("ACT", act), arguments, grid, work(k))
            };
            self.push_work(source.with("prelude/math").with("prelude/activation"), arguments, grid, work);
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
            let (source, arguments, grid, work) = if self.few(k) {
                let (source, tuning, arguments) = self.matvec(k, prepared, placed, part.index, arguments);
                let source = source
                    .with("epilogue/rope_store")
                    .set("NEOX", rope.style == RopeStyle::Neox)
                    .set("KV_Q8_0", spec.kv_type == KvType::Q8_0)
                    .set("TABLE", rope_table_len(rope.n_dims));
                (source, arguments, Grid::flat(k.n.div_ceil(tuning.slots() * tuning.passes)), work(k))
            } else if let Some(parts) = self.parts(k, prepared, placed, &part) {
                let source = parts.source(&["epilogue/rotated_pair", "epilogue/join_rope_store"]);
                (source, parts.arguments(k, arguments), parts.grid(k, k.n / 2), Work::default())
            } else {
                let (source, tile, arguments) = self.matrix(k, prepared, placed, (part.index, k.n), arguments);
                let source = source.with("epilogue/tile_rows").with("epilogue/rotated_pair").with("epilogue/tile_rope_store");
                (source, arguments, tile_grid(k.n.div_ceil(tile.0), k.rows, tile.1, 1), work(k))
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
            self.push_work(source, arguments, grid, work);
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

    /// The shape of the matrix-vector kernel for these rows.
    fn shape(&self, k: &Linear, format: &WeightFormat) -> MatvecTuning {
        let one = self.tuning.matvec(self.caps, &matvec_work(k, format));
        if k.rows.count == 1 { one } else { of_few_rows(self.caps, one, k.rows.count, k.k) }
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
        let tuning = self.shape(k, format);
        let several = k.rows.count > 1;
        let prologue = match (prepared.norm.is_some(), k.k.is_multiple_of(32)) {
            (true, _) => "prologue/rms_norm",
            (false, true) => "prologue/plain",
            (false, false) => "prologue/ragged",
        };
        let pairs = tuning.int8 && takes_pairs(self.caps, k.k);
        let op = match (tuning.int8, several) {
            (true, false) if pairs => "matvec_pairs",
            (true, true) if pairs => "matvec_rows_pairs",
            (true, false) => "matvec_i8",
            (true, true) => "matvec_rows_i8",
            (false, false) => "matvec",
            (false, true) => "matvec_rows",
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
            .with_weight(format.fragments);
        if !(tuning.int8 && several) {
            source = source.with(prologue);
        }
        if tuning.int8 {
            source = match self.words_at_once(format) {
                Some(n_words) => source.with("prelude/dot_pairs").set("WORDS_AT_ONCE", n_words),
                None => source.with("prelude/dot_packed"),
            };
            source.fragments.extend(if several { ["prelude/few_rows"].as_slice() } else { &["prelude/quantize", "prelude/one_row"] });
            source.fragments.push("prelude/rows_i8");
            if pairs {
                source.fragments.push("prelude/pairs_i8");
                source = source.set("AT_ONCE", pairs_at_once(k.k / 64, tuning.lanes));
                source.fragments.extend(format.pair_fragments(self.caps.words_64));
            }
        }
        let arguments = with_x(with_norm(arguments, prepared.norm), prepared);
        (source, tuning, with_piece(arguments, format, k.weight, piece))
    }
}

/// Arguments that begin with the rows of x, then those of the weight: n from the first.
fn of_weight_rows(k: &Linear, n: usize, first_row: usize) -> Arguments {
    of_rows(k.rows).set("n", n).set("first_row", first_row)
}

/// With the activations.
fn with_x(arguments: Arguments, prepared: &Prepared) -> Arguments {
    match prepared.x {
        Activations::Plain(x) => arguments.bind("x", x),
        Activations::Rounded(quants, groups) => arguments.bind("x_quants", quants).bind("x_groups", groups),
    }
}

/// With the weight of a norm and the run's word of its eps, which no kernel reads where there is no norm.
fn with_norm(arguments: Arguments, norm: Option<(Buf, usize)>) -> Arguments {
    arguments.set("eps", norm.map_or(0, |n| n.1)).bind_some("norm_weight", norm.map(|n| n.0))
}

/// What a matrix-vector kernel has to do for this step.
pub fn matvec_work<'a>(k: &Linear, format: &'a WeightFormat) -> MatvecWork<'a> {
    let epilogue = match k.epilogue {
        Epilogue::Store { .. } => "store",
        Epilogue::Gated { .. } => "gated",
        Epilogue::RopeStore { .. } => "rope_store",
    };
    MatvecWork { format, n: k.n, k: k.k, normed: k.norm.is_some(), epilogue }
}

/// Vectors of four numbers in a table of rotations for up to `MATVEC_ROWS` tokens.
pub fn rope_table_len(n_dims: usize) -> usize {
    (MATVEC_ROWS * n_dims).div_ceil(4)
}

/// Tiles of rows by tiles of tokens by shares of the columns.
fn tile_grid(tiles: usize, rows: Rows, t_tile: usize, shares: usize) -> Grid {
    Grid::PerRun(Arc::new(move |run: &RunShape| [tiles as u32, rows.of_run(run.n_tokens).div_ceil(t_tile) as u32, shares as u32]))
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

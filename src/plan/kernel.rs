//! The kernels of a plan and their operands.

use crate::graph::{BinaryOp, CacheIdx, RandomKind, ReduceOp, RopeStyle, UnaryOp};
use crate::tensor::DType;

use super::{Buf, PlacedId, ScalarRef};

/// A count of rows. With `dynamic`, `count` is a token bucket of which the run's `TokenCount` first rows are true; a kernel need not
/// compute the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rows {
    pub count: usize,
    pub dynamic: bool,
}

impl Rows {
    /// The rows of a run with `n_tokens` tokens.
    pub fn of_run(self, n_tokens: usize) -> usize {
        if self.dynamic { self.count.min(n_tokens) } else { self.count }
    }
}

/// A strided window on a buffer: element `(i0, i1, …)` is at `offset + Σ i·stride`, in elements. Strides may be 0 or negative.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub buf: Buf,
    pub offset: usize,
    pub strides: Vec<isize>,
}

/// What one step computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Kernel {
    Embedding(Embedding),
    Norm(Norm),
    Linear(Linear),
    ExpertLinear(ExpertLinear),
    Rope(Rope),
    CacheStore(CacheStore),
    Attention(Attention),
    Elementwise(Elementwise),
    Copy(Copy),
    Reduce(Reduce),
    Cumulate(Cumulate),
    Softmax(Softmax),
    Einsum(EinsumKernel),
    Gather(Gather),
    ScatterAdd(ScatterAdd),
    ArgSort {
        x: Buf,
        out: Buf,
        rows: usize,
        len: usize,
        descending: bool,
        dtype: DType,
    },
    /// `out[i] = i` as i32.
    Iota {
        out: Buf,
        len: usize,
    },
    Random {
        kind: RandomKind,
        seed: ScalarRef,
        out: Buf,
        len: usize,
    },
    /// `out[..] = x[index, ..]`, a row of `len` elements of `n_rows`; an index out of range is clamped.
    SelectRow {
        x: Buf,
        index: ScalarRef,
        out: Buf,
        n_rows: usize,
        len: usize,
    },
    /// `out[s, ..] = x[r, ..]`, rows of `len` elements, with r the last of the `n_rows` rows that is of the run's segment s; past the segments that of
    /// the last one.
    LastRows {
        x: Buf,
        out: Buf,
        n_rows: usize,
        n_segments: usize,
        len: usize,
    },
    /// `out[t]`: the id that the history of row t's sequence holds at its position.
    RecordedIds {
        cache: CacheIdx,
        out: Buf,
        rows: Rows,
    },
    /// Writes a scalar of the parameter block to a buffer of one element.
    Scalar {
        value: ScalarRef,
        out: Buf,
    },
    Sample(Sample),
}

/// `out[t] = table[ids[t]]`, widened to f32. `table`: `Storage::Native`.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    pub ids: Buf,
    pub table: PlacedId,
    pub out: Buf,
    pub rows: Rows,
    pub width: usize,
}

/// RMS norm of `rows` rows of `width`: `x / sqrt(mean(x²) + eps) · weight`. `x` and `out` are contiguous; `weight` is `[width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub x: Buf,
    pub weight: Buf,
    pub eps: ScalarRef,
    pub out: Buf,
    pub rows: Rows,
    pub width: usize,
}

/// `y[t, n] = Σ_k x'[t, k] · w[first_row + n, k]` with `x'` = `x` or its RMS norm, then the epilogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Contiguous `[rows, k]`.
    pub x: Buf,
    /// Norm prologue: weight `[k]` and eps.
    pub norm: Option<(Buf, ScalarRef)>,
    pub weight: PlacedId,
    /// The rows of the placement that are used: `first_row .. first_row + n`.
    pub first_row: usize,
    pub n: usize,
    pub k: usize,
    pub rows: Rows,
    pub epilogue: Epilogue,
}

/// `out[t, c, n] = Σ_k x[t, c, k] · w[first_row + ids[t, c] · N + n, k]`; 0 where the id is not among the experts.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertLinear {
    /// Contiguous `[rows, k]`, or `[rows, n_chosen, k]` with `each`.
    pub x: Buf,
    /// Whether each choice of a token has a row of x.
    pub each: bool,
    /// i32 `[rows, n_chosen]`.
    pub ids: Buf,
    pub weight: PlacedId,
    /// The first row of the first expert in the placement; experts follow one another, `n` rows each.
    pub first_row: usize,
    pub n_experts: usize,
    pub n: usize,
    pub k: usize,
    pub rows: Rows,
    pub n_chosen: usize,
    /// `[rows, n_chosen, n]`
    pub out: Buf,
}

/// What a linear does with its sums before they are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Epilogue {
    /// `out[t, n] = y + bias[n] + residual[t, n]`; `out [rows, n]`, `bias [n]`, `residual [rows, n]`, both optional.
    Store { bias: Option<Buf>, residual: Option<Buf>, out: Buf },
    /// `out[t, f] = act(y[t, f]) · y[t, f + n / 2]`; `out [rows, n / 2]`. The weight's rows are gate, then up.
    Gated { act: UnaryOp, out: Buf },
    /// The weight's rows are those of q, k and v in that order (v may be absent: `n_kv_heads` rows of k only, `has_v` false). `bias [n]` is added,
    /// q and k are rotated by `rows_table`, q goes to `q_out [rows, H, D]`, k and v into the cache.
    RopeStore {
        bias: Option<Buf>,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        has_v: bool,
        rope: RopeTable,
        q_out: Buf,
        cache: CacheIdx,
        layer: usize,
    },
}

/// A rotation: its table of (cos, sin) `[T, n_dims / 2, 2]` and which elements pair up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RopeTable {
    pub table: Buf,
    pub style: RopeStyle,
    pub n_dims: usize,
}

/// Rotates `x [rows, n_heads, head_dim]` (any strides) into `out`, contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    pub x: View,
    pub rope: RopeTable,
    pub out: Buf,
    pub rows: Rows,
    pub n_heads: usize,
    pub head_dim: usize,
}

/// Writes keys and values `[rows, n_kv_heads, head_dim]` (any strides) into the cache at the cache's position; rows past the run's token count are
/// not written. `k_rope` rotates the keys on the way. Either may be absent when another step writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheStore {
    pub k: Option<View>,
    pub v: Option<View>,
    pub k_rope: Option<RopeTable>,
    pub rows: Rows,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub cache: CacheIdx,
    pub layer: usize,
}

/// Causal attention of `q [rows, n_heads, head_dim]` over one layer of the cache (`CacheSpec`), which holds the keys and values of these rows
/// already. `window`: i32, a further limit `k > p - window`, 0 for none. `sink`: the second rotation of the query against sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    pub q: Buf,
    pub scale: ScalarRef,
    pub window: ScalarRef,
    pub sink: Option<RopeTable>,
    /// A score s is `cap · tanh(s / cap)`.
    pub cap: Option<ScalarRef>,
    /// `[n_heads]`: a score more of each head in the sum of the softmax.
    pub null_logits: Option<Buf>,
    pub out: Buf,
    pub rows: Rows,
    pub n_heads: usize,
    pub head_dim: usize,
    pub cache: CacheIdx,
    pub layer: usize,
}

/// One expression over strided inputs, one element of `out` each. `out` is contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Elementwise {
    pub expr: Expr,
    /// Per input, its view with one stride for each dimension of `dims`, and its dtype.
    pub inputs: Vec<(View, DType)>,
    pub scalars: Vec<ScalarRef>,
    pub out: Buf,
    pub dtype: DType,
    pub dims: Vec<usize>,
    /// Whether `dims[0]` is a token bucket.
    pub dynamic: bool,
}

/// `out[i…] = x[i…]`, four bytes an element whatever the type: one part of a concatenation, in a window of `out`. Other steps write the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    pub x: View,
    pub out: View,
    pub dims: Vec<usize>,
    /// Whether `dims[0]` is a token bucket.
    pub dynamic: bool,
}

/// Straight-line code: each op may use the results of those before it; the last one is the value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expr {
    pub ops: Vec<ExprOp>,
}

/// Numbers are indices of earlier ops, but for `Input` and `Scalar`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExprOp {
    /// The element of `Elementwise::inputs[i]`.
    Input(u32),
    /// `Elementwise::scalars[i]`.
    Scalar(u32),
    Unary {
        op: UnaryOp,
        x: u32,
        dtype: DType,
    },
    /// `dtype` is that of the operands.
    Binary {
        op: BinaryOp,
        a: u32,
        b: u32,
        dtype: DType,
    },
    Where {
        condition: u32,
        a: u32,
        b: u32,
    },
    Cast {
        x: u32,
        from: DType,
        to: DType,
    },
}

impl ExprOp {
    /// The earlier ops whose results it takes.
    pub fn operands(&self) -> Vec<u32> {
        match *self {
            ExprOp::Input(_) | ExprOp::Scalar(_) => vec![],
            ExprOp::Unary { x, .. } | ExprOp::Cast { x, .. } => vec![x],
            ExprOp::Binary { a, b, .. } => vec![a, b],
            ExprOp::Where { condition, a, b } => vec![condition, a, b],
        }
    }

    /// The same op with each operand replaced.
    pub(super) fn renumbered(self, new: impl Fn(u32) -> u32) -> ExprOp {
        match self {
            ExprOp::Input(_) | ExprOp::Scalar(_) => self,
            ExprOp::Unary { op, x, dtype } => ExprOp::Unary { op, x: new(x), dtype },
            ExprOp::Binary { op, a, b, dtype } => ExprOp::Binary { op, a: new(a), b: new(b), dtype },
            ExprOp::Where { condition, a, b } => ExprOp::Where { condition: new(condition), a: new(a), b: new(b) },
            ExprOp::Cast { x, from, to } => ExprOp::Cast { x: new(x), from, to },
        }
    }
}

/// Reduces the middle of `[outer, len, inner]`, contiguous. `index`: writes the i32 index of the extremum instead (`op` is `Max` or `Min`).
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    pub op: ReduceOp,
    pub index: bool,
    pub x: Buf,
    pub out: Buf,
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
    pub dtype: DType,
}

/// Running sum along the middle of `[outer, len, inner]`, contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Cumulate {
    pub x: Buf,
    pub out: Buf,
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
    pub dtype: DType,
}

/// Softmax along the middle of `[outer, len, inner]`, contiguous f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    pub x: Buf,
    pub out: Buf,
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
}

/// `out[o…] = Σ_s a[o, s] · b[o, s]`: views have one stride for each of `out_dims` then `sum_dims`. `b` may be absent.
#[derive(Clone, Debug, PartialEq)]
pub struct EinsumKernel {
    pub a: View,
    pub b: Option<View>,
    pub out: Buf,
    pub out_dims: Vec<usize>,
    pub sum_dims: Vec<usize>,
}

/// `out[o, j, i] = x[o, indices[j], i]` with `x [outer, len, inner]`, `indices [count]`; out of range gives 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    pub x: Buf,
    pub indices: Buf,
    pub out: Buf,
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
    pub count: usize,
    pub dtype: DType,
}

/// `out = x; out[o, indices[j], i] += updates[o, j, i]` in the order of j; `x [outer, len, inner]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterAdd {
    pub x: Buf,
    pub indices: Buf,
    pub updates: Buf,
    pub out: Buf,
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
    pub count: usize,
    pub dtype: DType,
}

/// `Op::Sample` of `logits [rows, vocab]`, row s for the run's segment s: `settings` are temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub logits: Buf,
    pub rows: usize,
    pub vocab: usize,
    pub settings: [ScalarRef; 7],
    pub position: ScalarRef,
    pub history: Option<CacheIdx>,
    pub out: Buf,
}

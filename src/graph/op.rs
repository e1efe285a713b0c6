//! The operations. `reference` defines what each computes; this file says what each takes.

use crate::tensor::DType;

use super::einsum::EinsumSpec;
use super::node::InputId;
use super::rope::{RopeSpec, RopeStyle};
use super::scalar::{CacheIdx, ScalarSource};
use super::weight::Weight;
use std::sync::Arc;

/// What a node computes from its inputs. The comments give the inputs in order and the output's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    // Leaves: no inputs unless stated.
    /// A tensor bound at each run.
    Input(InputId),
    /// A model's weight in its file's type.
    Weight(Arc<Weight>),
    /// A run-time scalar, shape `()`. Its value is not part of a plan's key.
    Scalar(ScalarSource),
    /// Rows `[T, n_dims / 2, 2]` of (cos, sin), made on the host in f64. Input: the first position, an i32 scalar that the host can
    /// evaluate. Row `t` is for position `first + t`, in the sense of `kind`.
    RopeRows { spec: Arc<RopeSpec>, kind: RopeRowsKind },
    /// The ids that the histories of the run's sequences hold at the positions of its rows: i32 `[T]`.
    RecordedIds(CacheIdx),
    /// `0, 1, 2, …` as i32 along the only dimension.
    Iota,
    /// Pseudo-random f32 values from a counter-based generator (Philox 4x32-10). Input: seed, an i32 scalar. Element `i` depends on
    /// (seed, i) alone.
    Random(RandomKind),

    // Elementwise, with NumPy broadcasting already made explicit in the output's shape.
    /// `[x]`
    Unary(UnaryOp),
    /// `[a, b]`
    Binary(BinaryOp),
    /// `[condition, a, b]`: a where the condition is not zero.
    Where,
    /// `[x]`. To `F16` or `BF16` the values are rounded and stay f32 in memory; float to int truncates towards zero, saturating.
    Cast(DType),

    // Layout.
    /// `[x]`; same elements in row-major order.
    Reshape,
    /// `[x]`; output dimension `i` is input dimension `axes[i]`.
    Permute(Vec<usize>),
    /// `[x]` read with NumPy's broadcasting as the node's shape.
    Broadcast,
    /// `[x]`; per dimension a start and a step (may be negative); the sizes are the node's shape.
    Slice { starts: Vec<usize>, steps: Vec<isize> },
    /// `[x, …]` along `axis`.
    Concat { axis: usize },
    /// `[x, index]`: `x[index]` along dimension 0, with an i32 scalar known only at run time. Drops the dimension.
    SelectRow,
    /// `[x: [T, …]]` → `[rows, …]`: the last row of each segment of the run; where it has fewer segments, that of the last one again.
    LastRows { rows: usize },
    /// `[x, indices]`: elements of `x` along `axis` at i32 `indices` (any shape, replaces the axis). Out of range reads 0.
    Gather { axis: usize },
    /// `[x, indices, updates]`: `x` with `updates` added along `axis` at the i32 vector `indices`, in index order. Out of range is dropped.
    ScatterAdd { axis: usize },

    // Reductions along one axis; kept as size 1 when `keep`.
    /// `[x]`
    Reduce { op: ReduceOp, axis: usize, keep: bool },
    /// `[x]`; i32, the lowest index on a tie.
    ArgMax { axis: usize, keep: bool },
    /// `[x]`; i32, the lowest index on a tie.
    ArgMin { axis: usize, keep: bool },
    /// `[x]` running sum along `axis`.
    CumSum { axis: usize },
    /// `[x]`: i32 indices that sort along the last axis, stable.
    ArgSort { descending: bool },

    // Contractions.
    /// `[a]` or `[a, b]`, any specification.
    Einsum(EinsumSpec),
    /// `[x: [..., K], w: [N, K]]` → `[..., N]`: `x · wᵀ`. `w` may be quantized.
    Linear,
    /// `[x: [T, K] or [T, C, K], w: [E, N, K], ids: i32 [T, C]]` → `[T, C, N]`: row `t` of x, or row `(t, c)` where each choice has one, times the transposed
    /// matrix of expert `ids[t, c]`. `w` may be quantized. An id out of range gives 0, as an index of `Gather` does.
    ExpertLinear,
    /// `[ids: i32 [...], table: [V, C]]` → `[..., C]`. `table` may be quantized. An id out of range gives 0, as an index of `Gather` does.
    Embedding,

    // Neural network.
    /// `[x: [..., C], weight: [C], eps: scalar]`: `x / sqrt(mean(x²) + eps) · weight`.
    RmsNorm,
    /// `[x]` along `axis`.
    Softmax { axis: usize },
    /// `[x: [T, H, D], rows: [T, n_dims / 2, 2]]`: rotates the first `n_dims` of each head.
    Rope { style: RopeStyle, n_dims: usize },
    /// `[k: [T, G, D], v: [T, G, D]]`: writes both into the cache at the cache's position. The output stands for this layer's cache
    /// after the write; only `Attention` reads it. Its shape is `[R, G, D]`.
    CacheAppend { cache: CacheIdx, layer: usize },
    /// `[q: [T, H, D], appended, scale: scalar, window: i32 scalar (0: none), sink_rows: [T, n_dims / 2, 2]?, cap: scalar?, null_logits: [H]?]` →
    /// `[T, H, D]`: causal attention over the cache. `sink` says how the query is rotated a second time, by `sink_rows`, against sinks; `None`: keys are
    /// not rotated. With `capped` a score s is `cap · tanh(s / cap)`. With `null_logits` one more score of each head joins the sum of the softmax,
    /// without a value.
    Attention { sink: Option<(RopeStyle, usize)>, capped: bool, null_logits: bool },
    /// `[logits: [V], temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed, position]` → i32 `[1]`. With `history` the penalty
    /// looks at the cache's last ids and the chosen id is written there as that of `position`. Where a logit is NaN, or the largest is
    /// infinite, the id is that of [`super::NoChoice`]. Of logits `[S, V]` row s is for the run's segment s, with the segment's own settings,
    /// position and history; ids `[S]`, of which those past the run's segments mean nothing.
    Sample { history: Option<CacheIdx> },
}

/// Functions of one element. All but `Not` take floats; `Neg`, `Abs`, `Sign` also ints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Neg,
    Abs,
    Sign,
    Exp,
    Log,
    Sqrt,
    Rsqrt,
    Sin,
    Cos,
    Tan,
    Tanh,
    Sigmoid,
    Silu,
    /// `0.5 x (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`
    Gelu,
    Relu,
    /// `2 / sqrt(π) ∫ exp(-t²) dt` from 0 to x.
    Erf,
    Softplus,
    Floor,
    Ceil,
    /// Half to even.
    Round,
    Not,
}

/// Functions of two elements of one type. Comparisons give `Bool`; `And`, `Or` take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Int division floors, so that `Rem` agrees with it; by zero it is 0.
    Div,
    /// The remainder has the divisor's sign; by zero it is 0 for ints.
    Rem,
    Pow,
    Min,
    Max,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

impl BinaryOp {
    /// Whether the result is `Bool` whatever the operands are.
    pub fn is_comparison(self) -> bool {
        matches!(self, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RandomKind {
    /// Uniform in [0, 1).
    Uniform,
    /// Standard normal by Box-Muller.
    Normal,
}

/// Which angle a row of `RopeRows` is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RopeRowsKind {
    /// Position `p` itself.
    Position,
    /// `min(p, W - 1) - p` with the cache's window: what turns a query rotated at `p` into one at `min(p, W - 1)`.
    SinkDelta(CacheIdx),
}

//! What becomes of a linear's sums, and the units of rows in which they are made.

use crate::cpu::buffer::Mem;
use crate::cpu::rope::{RopeRows, rotate};
use crate::cpu::step::{KvLayers, StepContext};
use crate::cpu::vector::silu_times;
use crate::graph::UnaryOp;
use crate::graph::math::unary_f32;
use crate::plan::{Epilogue, Linear};

/// Rows of a unit: enough for long streams of memory (`quant::STREAMS`), few enough that a small weight is still work for several
/// threads. Where rows are rotated, a unit is whole heads.
const MIN_UNIT: usize = 32;
const MAX_UNIT: usize = 128;

/// An epilogue with its operands at hand.
pub(super) struct Finish<'a> {
    isa: crate::cpu::isa::Isa,
    n: usize,
    n_tokens: usize,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Store {
        bias: Option<&'a [f32]>,
        residual: Option<&'a [f32]>,
        out: Mem<'a>,
    },
    Gated {
        act: UnaryOp,
        out: Mem<'a>,
    },
    RopeStore {
        bias: Option<&'a [f32]>,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        rope: RopeRows<'a>,
        q_out: Mem<'a>,
        layers: KvLayers<'a>,
    },
}

impl<'a> Finish<'a> {
    pub fn new(ctx: &StepContext<'a>, step: &Linear, n_tokens: usize) -> Self {
        let kind = match &step.epilogue {
            Epilogue::Store { bias, residual, out } => {
                Kind::Store { bias: bias.map(|b| ctx.f32(b)), residual: residual.map(|b| ctx.f32(b)), out: ctx.out(*out) }
            }
            Epilogue::Gated { act, out } => Kind::Gated { act: *act, out: ctx.out(*out) },
            Epilogue::RopeStore { bias, n_heads, n_kv_heads, head_dim, rope, q_out, cache, layer, has_v: _ } => Kind::RopeStore {
                bias: bias.map(|b| ctx.f32(b)),
                n_heads: *n_heads,
                n_kv_heads: *n_kv_heads,
                head_dim: *head_dim,
                rope: ctx.rope_rows(rope),
                q_out: ctx.out(*q_out),
                layers: ctx.kv_layers(*cache, *layer),
            },
        };
        Finish { isa: ctx.isa, n: step.n, n_tokens, kind }
    }

    pub fn n_units(&self) -> usize {
        let (n, unit) = self.unit_rows();
        n.div_ceil(unit)
    }

    /// Output rows, where those of gate and up count once, and how many of them a unit has; all but the last have the same.
    fn unit_rows(&self) -> (usize, usize) {
        let aligned = |n: usize| (n / 16).next_multiple_of(MIN_UNIT).clamp(MIN_UNIT, MAX_UNIT);
        match &self.kind {
            Kind::Store { .. } => (self.n, aligned(self.n)),
            Kind::Gated { .. } => (self.n / 2, aligned(self.n / 2)),
            Kind::RopeStore { head_dim, .. } => (self.n, aligned(self.n).next_multiple_of((*head_dim).max(1))),
        }
    }

    /// First row and number of rows of the two ranges that make a unit; the second may be empty.
    pub fn unit_ranges(&self, unit: usize) -> [(usize, usize); 2] {
        let (n, rows) = self.unit_rows();
        let first = unit * rows;
        let len = rows.min(n - first);
        match &self.kind {
            Kind::Gated { .. } => [(first, len), (n + first, len)],
            _ => [(first, len), (0, 0)],
        }
    }

    /// Stores a unit's sums `y [T, width]`.
    pub fn unit(&self, unit: usize, y: &mut [f32], width: usize) {
        let first = unit * self.unit_rows().1;
        for (t, y) in y.chunks_exact_mut(width).enumerate().take(self.n_tokens) {
            match &self.kind {
                Kind::Store { bias, residual, out } => {
                    // SAFETY: rows `first .. first + width` of the output are this unit's alone.
                    let out: &mut [f32] = unsafe { out.range_mut(t * self.n + first, width) };
                    out.copy_from_slice(y);
                    if let Some(bias) = bias {
                        add(out, &bias[first..]);
                    }
                    if let Some(residual) = residual {
                        add(out, &residual[t * self.n + first..]);
                    }
                }
                Kind::Gated { act, out } => {
                    let (gate, up) = y.split_at(width / 2);
                    // SAFETY: as above.
                    let out: &mut [f32] = unsafe { out.range_mut(t * (self.n / 2) + first, width / 2) };
                    if *act == UnaryOp::Silu {
                        silu_times(self.isa, gate, up, out);
                    } else {
                        for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                            *out = unary_f32(*act, g) * u;
                        }
                    }
                }
                Kind::RopeStore { bias, n_heads, n_kv_heads, head_dim, rope, q_out, layers } => {
                    let (layer, place) = layers.of_row(t);
                    if let Some(bias) = bias {
                        add(y, &bias[first..]);
                    }
                    for (i, y) in y.chunks_exact_mut(*head_dim).enumerate() {
                        let head = first / head_dim + i;
                        if head < n_heads + n_kv_heads {
                            rotate(self.isa, y, rope, t);
                        }
                        if head < *n_heads {
                            // SAFETY: this head of the output is this unit's alone.
                            unsafe { q_out.range_mut::<f32>((t * n_heads + head) * head_dim, *head_dim) }.copy_from_slice(y);
                        } else if head < n_heads + n_kv_heads {
                            layer.store_key(head - n_heads, place, y);
                        } else {
                            layer.store_value(head - n_heads - n_kv_heads, place, y);
                        }
                    }
                }
            }
        }
    }
}

fn add(values: &mut [f32], others: &[f32]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value += other;
    }
}

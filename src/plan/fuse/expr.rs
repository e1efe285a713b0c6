//! Building one expression from several.

use crate::graph::{BinaryOp, UnaryOp};
use crate::plan::{Expr, ExprOp};

/// Straight-line code in which equal ops are one.
#[derive(Default)]
pub(super) struct ExprBuilder {
    ops: Vec<ExprOp>,
}

impl ExprBuilder {
    /// The value of `op`, whose operands are values of this builder. `a · sigmoid(a)` is `silu(a)`.
    pub fn add(&mut self, op: ExprOp) -> u32 {
        let op = self.as_silu(op).unwrap_or(op);
        let at = self.ops.iter().position(|known| *known == op).unwrap_or_else(|| {
            self.ops.push(op);
            self.ops.len() - 1
        });
        at as u32
    }

    /// Adds the ops of `expr` with its leaves given by `leaf`, and returns its value.
    pub fn add_expr(&mut self, expr: &Expr, mut leaf: impl FnMut(&mut Self, ExprOp) -> u32) -> u32 {
        let mut values: Vec<u32> = Vec::with_capacity(expr.ops.len());
        for op in &expr.ops {
            let value = match op {
                ExprOp::Input(_) | ExprOp::Scalar(_) => leaf(self, *op),
                _ => self.add(op.renumbered(|x| values[x as usize])),
            };
            values.push(value);
        }
        values.last().copied().unwrap_or(0)
    }

    /// The code up to `value`, without what it does not need.
    pub fn finish(self, value: u32) -> Expr {
        let mut needed = vec![false; self.ops.len()];
        needed[value as usize] = true;
        for at in (0..self.ops.len()).rev().filter(|&at| at <= value as usize) {
            if needed[at] {
                self.ops[at].operands().into_iter().for_each(|x| needed[x as usize] = true);
            }
        }
        let mut new_at = vec![0; self.ops.len()];
        let mut ops = Vec::new();
        for (at, op) in self.ops.iter().enumerate().filter(|(at, _)| needed[*at]) {
            new_at[at] = ops.len() as u32;
            ops.push(op.renumbered(|x| new_at[x as usize]));
        }
        Expr { ops }
    }

    fn as_silu(&self, op: ExprOp) -> Option<ExprOp> {
        let ExprOp::Binary { op: BinaryOp::Mul, a, b, dtype } = op else { return None };
        let is_sigmoid_of = |y: u32, x: u32| matches!(self.ops[y as usize], ExprOp::Unary { op: UnaryOp::Sigmoid, x: of, .. } if of == x);
        let x = if is_sigmoid_of(b, a) {
            a
        } else if is_sigmoid_of(a, b) {
            b
        } else {
            return None;
        };
        Some(ExprOp::Unary { op: UnaryOp::Silu, x, dtype })
    }
}

//! Random graphs of elementwise, layout and row-wise ops: their plans compute what the definition says.

use std::sync::Arc;

use crate::doctor::{Bound, Case, Verdict, check};
use crate::graph::{BinaryOp, Graph, NodeId, Op, ReduceOp, UnaryOp, Weight};
use crate::plan::{Off, Target};
use crate::tensor::{DType, HostTensor};

use super::interpreter::Interpreter;

/// A small linear congruential generator (Knuth's MMIX constants): a failing graph is named by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.below(2001) as f32 / 1000.0 - 1.0).collect()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

#[test]
fn random_graphs_agree_with_the_definition() {
    let target = Target { norm_prologue_rows: 4, epilogue_rows: 4, off: Off::NONE };
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let inputs: Vec<HostTensor> = [[4, 6], [6, 4], [1, 6], [4, 1]].map(|s| HostTensor::f32(s, dice.values(s[0] * s[1]))).to_vec();
        let case = Case::of(format!("seed {seed}"), Bound::Relative(1e-6), inputs, |g, ids| outputs(g, ids, &mut dice));
        let outcome = check(&case, &mut Interpreter::new(target));
        assert!(matches!(outcome.verdict, Verdict::Pass { .. }), "{}: {:?}", outcome.name, outcome.verdict);
    }
}

fn outputs(g: &mut Graph, inputs: &[NodeId], dice: &mut Dice) -> Vec<NodeId> {
    let mut values = inputs.to_vec();
    for _ in 0..4 + dice.below(16) {
        // Mostly the newest value, so that chains grow.
        let x = if dice.below(3) > 0 { values[values.len() - 1] } else { dice.pick(&values) };
        let y = dice.pick(&values);
        if let Some(z) = step(g, x, y, dice) {
            values.push(z);
        }
    }
    let last = values[values.len() - 1];
    if dice.below(2) == 0 { vec![last] } else { vec![last, dice.pick(&values)] }
}

fn step(g: &mut Graph, x: NodeId, y: NodeId, dice: &mut Dice) -> Option<NodeId> {
    let shape = g.shape(x).clone();
    let rank = shape.rank();
    match dice.below(14) {
        0 | 1 => g.unary(dice.pick(&[UnaryOp::Tanh, UnaryOp::Neg, UnaryOp::Sigmoid, UnaryOp::Abs]), x).ok(),
        2..=4 => g
            .binary(dice.pick(&[BinaryOp::Add, BinaryOp::Mul, BinaryOp::Sub, BinaryOp::Max]), x, y)
            .ok()
            .filter(|&z| g.shape(z).len() <= 256),
        5 => {
            let two = g.literal_f32(0.5);
            g.binary(BinaryOp::Mul, x, two).ok()
        }
        6 => {
            let mut axes: Vec<usize> = (0..rank).collect();
            (1..rank).for_each(|i| axes.swap(i, dice.below(i + 1)));
            g.permute(x, &axes).ok()
        }
        7 => {
            let ranges: Vec<(usize, isize, usize)> = shape.iter().map(|&n| range(n, dice)).collect();
            g.slice(x, &ranges).ok()
        }
        8 => g.reshape(x, refactored(shape.len(), dice)).ok(),
        9 => g.concat(&[x, x], dice.below(rank)).ok().filter(|&z| rank > 0 && g.shape(z).len() <= 256),
        10 => g.reduce(dice.pick(&[ReduceOp::Sum, ReduceOp::Max]), x, dice.below(rank), dice.below(2) == 0).ok().filter(|_| rank > 0),
        11 => {
            let index = g.literal_i32(dice.below(6) as i32);
            g.add(Op::SelectRow, &[x, index]).ok()
        }
        12 => {
            let (k, n) = (shape.last_dim(), 1 + dice.below(5));
            let w = weight(g, vec![n, k], dice);
            g.linear(x, w).ok()
        }
        _ => {
            let (w, eps) = (weight(g, vec![shape.last_dim()], dice), g.literal_f32(1e-5));
            g.rms_norm(x, w, eps).ok()
        }
    }
}

fn range(n: usize, dice: &mut Dice) -> (usize, isize, usize) {
    match dice.below(4) {
        0 => (n - 1, -1, n),
        1 => (dice.below(n), 1, 1),
        2 => (0, 2, n.div_ceil(2)),
        _ => (0, 1, n),
    }
}

/// Dimensions of `n` elements.
fn refactored(mut n: usize, dice: &mut Dice) -> Vec<usize> {
    let mut dims = Vec::new();
    while n > 1 && dims.len() < 3 {
        let divisors: Vec<usize> = (2..=n).filter(|d| n.is_multiple_of(*d)).collect();
        let d = dice.pick(&divisors);
        dims.push(d);
        n /= d;
    }
    dims.push(n);
    dims
}

fn weight(g: &mut Graph, shape: Vec<usize>, dice: &mut Dice) -> NodeId {
    let bytes: Vec<u8> = dice.values(shape.iter().product()).iter().flat_map(|v| v.to_le_bytes()).collect();
    g.weight(Arc::new(Weight::new("w.weight", shape, DType::F32, Arc::new(bytes))))
}

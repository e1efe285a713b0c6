//! The parameter block: every scalar of a run, evaluated on the host while the run is encoded.

use crate::graph::{BinaryOp, Literal, RuntimeScalar, Segment, UnaryOp};
use crate::tensor::DType;

/// A word of the parameter block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScalarRef(pub u32);

/// How a word is made; references point to earlier words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalarExpr {
    /// By index in the run's literals.
    Literal(u32),
    Runtime(RuntimeScalar),
    Unary {
        op: UnaryOp,
        x: ScalarRef,
        dtype: DType,
    },
    Binary {
        op: BinaryOp,
        a: ScalarRef,
        b: ScalarRef,
        dtype: DType,
    },
    Cast {
        x: ScalarRef,
        from: DType,
        to: DType,
    },
}

/// The words of a plan's parameter block, in order, and the literals of the graph that it was made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scalars {
    pub words: Vec<ScalarExpr>,
    pub literals: Vec<Literal>,
}

impl Scalars {
    /// By word: whether it may differ from segment to segment.
    pub fn of_segment(&self) -> Vec<bool> {
        let mut differs: Vec<bool> = Vec::with_capacity(self.words.len());
        for word in &self.words {
            differs.push(match *word {
                ScalarExpr::Literal(_) => false,
                ScalarExpr::Runtime(_) => true,
                ScalarExpr::Unary { x, .. } | ScalarExpr::Cast { x, .. } => differs[x.0 as usize],
                ScalarExpr::Binary { a, b, .. } => differs[a.0 as usize] || differs[b.0 as usize],
            });
        }
        differs
    }

    /// The block of a run as one of its segments has it: one 32-bit word each, f32 or i32 by its bits. Arithmetic is as on the device: f32 and
    /// wrapping i32. `literals`: those of the run, by index.
    pub fn evaluate(&self, literals: &[Literal], segment: &Segment) -> Vec<u32> {
        let mut block: Vec<u32> = Vec::with_capacity(self.words.len());
        for word in &self.words {
            block.push(match *word {
                ScalarExpr::Literal(i) => literals.get(i as usize).unwrap_or(&self.literals[i as usize]).bits(),
                ScalarExpr::Runtime(scalar) => runtime(scalar, segment),
                ScalarExpr::Unary { op, x, dtype } => unary(op, block[x.0 as usize], dtype),
                ScalarExpr::Binary { op, a, b, dtype } => binary(op, block[a.0 as usize], block[b.0 as usize], dtype),
                ScalarExpr::Cast { x, from, to } => cast(block[x.0 as usize], from, to),
            });
        }
        block
    }
}

fn runtime(scalar: RuntimeScalar, segment: &Segment) -> u32 {
    let s = &segment.sampling;
    match scalar {
        RuntimeScalar::Position(cache) => segment.caches.get(cache.0 as usize).map_or(0, |c| c.position as u32),
        RuntimeScalar::TokenCount => segment.n_tokens as u32,
        RuntimeScalar::Temperature => s.temperature.to_bits(),
        RuntimeScalar::TopK => s.top_k as u32,
        RuntimeScalar::TopP => s.top_p.to_bits(),
        RuntimeScalar::MinP => s.min_p.to_bits(),
        RuntimeScalar::RepeatPenalty => s.repeat_penalty.to_bits(),
        RuntimeScalar::RepeatLastN => s.repeat_last_n as u32,
        RuntimeScalar::Seed => s.seed,
    }
}

fn unary(op: UnaryOp, x: u32, dtype: DType) -> u32 {
    if dtype.is_float() {
        return crate::graph::math::unary_f32(op, f32::from_bits(x)).to_bits();
    }
    crate::graph::math::unary_i32(op, x as i32) as u32
}

fn binary(op: BinaryOp, a: u32, b: u32, dtype: DType) -> u32 {
    if dtype.is_float() {
        let (a, b) = (f32::from_bits(a), f32::from_bits(b));
        return match crate::graph::math::compare_f32(op, a, b) {
            Some(truth) => u32::from(truth),
            None => crate::graph::math::binary_f32(op, a, b).to_bits(),
        };
    }
    crate::graph::math::binary_i32(op, a as i32, b as i32) as u32
}

fn cast(x: u32, from: DType, to: DType) -> u32 {
    match (from.is_float(), to.is_float()) {
        (true, true) => crate::graph::math::round_to(to, f32::from_bits(x)).to_bits(),
        (true, false) if to == DType::Bool => u32::from(f32::from_bits(x) != 0.0),
        (true, false) => f32::from_bits(x) as i32 as u32,
        (false, true) => crate::graph::math::round_to(to, x as i32 as f32).to_bits(),
        (false, false) if to == DType::Bool => u32::from(x != 0),
        (false, false) => x,
    }
}

//! Scalars known only when a plan runs. They live in one parameter block and never select a plan.

use crate::tensor::DType;

/// Which of a graph's caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheIdx(pub u32);

/// Where a run-time scalar's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalarSource {
    /// Entry of `Graph::literals`.
    Literal {
        index: u32,
        dtype: DType,
    },
    Runtime(RuntimeScalar),
}

/// Scalars that the caller of a plan sets at each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuntimeScalar {
    /// Position of the run's first token in a cache, i32.
    Position(CacheIdx),
    /// The true number of tokens of this run, at most the plan's bucket, i32.
    TokenCount,
    Temperature,
    /// i32; 0 keeps all.
    TopK,
    TopP,
    MinP,
    RepeatPenalty,
    /// i32.
    RepeatLastN,
    /// i32 (the low 32 bits of the seed).
    Seed,
}

impl RuntimeScalar {
    pub fn dtype(self) -> DType {
        match self {
            RuntimeScalar::Temperature | RuntimeScalar::TopP | RuntimeScalar::MinP | RuntimeScalar::RepeatPenalty => DType::F32,
            _ => DType::I32,
        }
    }
}

/// The value of a literal: its bits as they stand in the parameter block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    F32(f32),
    I32(i32),
}

impl Literal {
    pub fn bits(self) -> u32 {
        match self {
            Literal::F32(v) => v.to_bits(),
            Literal::I32(v) => v as u32,
        }
    }
}

/// The sampling scalars of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    pub temperature: f32,
    pub top_k: i32,
    pub top_p: f32,
    pub min_p: f32,
    pub repeat_penalty: f32,
    pub repeat_last_n: i32,
    pub seed: u32,
}

impl Default for Sampling {
    /// Greedy, without penalty.
    fn default() -> Self {
        Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repeat_penalty: 1.0, repeat_last_n: 64, seed: 0 }
    }
}

//! A compiled step of a model with everything that its runs share.

use std::sync::Arc;

use super::executor::{Binding, CacheUse, DeviceTensor, ProgramId, RunArgs, Segment};
use super::scalar::{Literal, Sampling};

/// A model's step on one executor. Graphs that differ in their literals and constants alone share the program, so each run takes these from
/// the step that it is a run of.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub program: ProgramId,
    /// Rows of the token input: a bucket of which a run may fill fewer, or the exact number.
    pub rows: usize,
    /// Those of the compacted graph, in its order.
    pub literals: Vec<Literal>,
    /// The inputs that follow the tokens: tensors of the program's own, which were uploaded when it was compiled.
    pub constants: Vec<Arc<DeviceTensor>>,
    /// The only position that the step may run at, where its program looked at the position; `None`: any.
    pub pinned: Option<usize>,
}

impl Compiled {
    /// A step whose graph takes the tokens alone.
    pub fn new(program: ProgramId, rows: usize, literals: Vec<Literal>) -> Self {
        Compiled { program, rows, literals, constants: Vec::new(), pinned: None }
    }

    /// The arguments of a run of `n_tokens` tokens at the cache's position.
    pub fn args(&self, tokens: Binding, cache: CacheUse, n_tokens: usize, sampling: Sampling) -> RunArgs {
        self.args_of(tokens, vec![Segment { caches: vec![cache], n_tokens, sampling }])
    }

    /// The arguments of a run of several segments.
    pub fn args_of(&self, tokens: Binding, segments: Vec<Segment>) -> RunArgs {
        let constants = self.constants.iter().map(|c| Binding::Device((**c).clone()));
        RunArgs { inputs: std::iter::once(tokens).chain(constants).collect(), literals: self.literals.clone(), segments }
    }
}

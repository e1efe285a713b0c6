//! From graph to plan: which kernels, over which buffers, in which order.
//!
//! ```text
//! Graph ─place─> which weights share a buffer (by the graph alone)
//!       ─tokens─> which dimension of each node is the token bucket, or a refusal
//!       ─lower─> Draft: one step a node, one slot a value, layout ops as views, host scalars as words
//!       ─fuse─> the same steps, fewer of them: each rule looks at kernels and at who reads what
//!       ─slots─> Plan: values share buffers by liveness, outputs have their own
//! ```
//!
//! What is absent: a device, I/O, threads, clocks, a name of any model, and the number of true tokens. A plan depends on nothing but the graph, the
//! outputs, [`CompileOptions`] and [`Target`], so that equal keys give equal plans. Both device backends run the same [`Plan`]; what a
//! [`Kernel`] computes is defined by the graph ops it covers, and those by `reference`. Kernels see f32, i32 and Boolean values; a narrower float
//! occurs only as what a `Cast` rounds to.
//!
//! [`verify`] checks a plan without trusting how it was made; a plan prints as text (`tl explain`, the snapshots of the tests).

mod compile;
mod draft;
mod dump;
mod edit;
mod error;
mod fuse;
mod kernel;
mod lower;
mod operands;
mod place;
mod scalars;
mod slots;
mod switches;
#[cfg(test)]
mod tests;
mod tokens;
mod verify;
mod view;

pub use compile::compile;
pub use error::PlanError;
pub use fuse::Rule;
pub use kernel::{
    Attention, CacheStore, Copy, Cumulate, EinsumKernel, Elementwise, Embedding, Epilogue, ExpertLinear, Expr, ExprOp, Gather, Kernel,
    Linear, Norm, Reduce, Rope, RopeTable, Rows, Sample, ScatterAdd, Softmax, View,
};
pub use operands::{Operand, Role};
pub use scalars::{ScalarExpr, ScalarRef, Scalars};
pub(crate) use switches::choices;
pub use switches::{Choice, Off};
pub use tokens::op_name;
pub use verify::verify;

use std::sync::Arc;

use crate::graph::{CompileOptions, InputId, NodeId, Origin, RopeRowsKind, RopeSpec, Weight};
use crate::tensor::{DType, Shape};

/// An intermediate buffer of a plan. A slot is a whole buffer, re-used by liveness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u32);

/// One upload of weights: one tensor, or several of equal format and width whose rows follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlacedId(pub u32);

/// Where a kernel reads or writes. Values are four bytes an element, row-major, but for weights and caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Buf {
    Slot(SlotId),
    Input(InputId),
    /// By index in `Plan::outputs`: a buffer of its own that outlives the run.
    Output(u32),
    /// A weight placed dense as f32: norms, biases, and what an op without a kernel of its format reads.
    Weight(PlacedId),
    /// By index in `Plan::rope_rows`: rows that the host makes for each run.
    RopeRows(u32),
}

/// How the rows of a placed weight are stored on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// In the weight's own type, in whatever layout the backend's kernels of that type want.
    Native,
    /// Widened to f32, row-major.
    F32,
}

/// One buffer of weights. Those of one type and row length whose rows follow one another; with `Storage::F32` any whose elements do, so that
/// the biases of merged linears are one vector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Concatenated in this order.
    pub parts: Vec<Arc<Weight>>,
    pub storage: Storage,
}

impl Placement {
    /// Rows of all parts together; a vector is one row.
    pub fn n_rows(&self) -> usize {
        self.parts.iter().map(|w| w.shape.rows()).sum()
    }

    /// Elements of all parts together.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|w| w.shape.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a part is of a model that is gone.
    pub fn is_retired(&self) -> bool {
        self.parts.iter().any(|part| part.is_retired())
    }

    /// Elements of a row of a native placement.
    pub fn row_len(&self) -> usize {
        self.parts[0].shape.last_dim()
    }

    pub fn dtype(&self) -> DType {
        self.parts[0].dtype
    }
}

/// Rows of (cos, sin) that the host makes for each run (`graph::rope_rows`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RopeRowsSpec {
    pub spec: Arc<RopeSpec>,
    pub kind: RopeRowsKind,
    pub first: ScalarRef,
    pub rows: Rows,
}

/// One dispatch, or the few that its kernel needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub kernel: Kernel,
    /// The graph nodes that it covers, the one whose value it writes last.
    pub nodes: Vec<NodeId>,
    /// Labels of those nodes, joined: what trace, explain and bench print.
    pub name: String,
    pub origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    pub buf: Buf,
    pub shape: Shape,
    pub dtype: DType,
}

/// What a backend runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Elements (four bytes each) of each slot.
    pub slots: Vec<usize>,
    pub placements: Vec<Placement>,
    pub rope_rows: Vec<RopeRowsSpec>,
    pub scalars: Scalars,
    /// Shape and dtype by `InputId`; `None` for inputs that no output needs.
    pub inputs: Vec<Option<(Shape, DType)>>,
    /// In the order asked for. Two outputs may name one buffer; an output may be an input, read through `Buf::Input`.
    pub outputs: Vec<OutputSpec>,
    /// The token bucket, where the graph has a token input.
    pub bucket: Option<usize>,
    /// The most segments of a run. More than one only where each row depends on its own sequence alone.
    pub segments: usize,
    pub options: CompileOptions,
}

impl Plan {
    /// Whether it reads a weight of a model that is gone.
    pub fn reads_retired(&self) -> bool {
        self.placements.iter().any(Placement::is_retired)
    }

    /// The rows of keys and values that a run writes into each cache, by `CacheIdx`.
    pub fn rows_written(&self) -> Vec<Rows> {
        let mut written = vec![Rows { count: 0, dynamic: false }; self.options.caches.len()];
        for step in &self.steps {
            let (cache, rows) = match &step.kernel {
                Kernel::CacheStore(k) => (k.cache, k.rows),
                Kernel::Linear(Linear { epilogue: Epilogue::RopeStore { cache, .. }, rows, .. }) => (*cache, *rows),
                _ => continue,
            };
            if let Some(most) = written.get_mut(cache.0 as usize).filter(|most| most.count < rows.count) {
                *most = rows;
            }
        }
        written
    }
}

/// What a backend wants of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The most rows for which a norm is folded into the matvec that follows. 0: never.
    pub norm_prologue_rows: usize,
    /// The most rows for which gating, and RoPE with the cache write, become epilogues of the linear before them.
    pub epilogue_rows: usize,
    /// The rules to do without.
    pub off: Off<Rule>,
}

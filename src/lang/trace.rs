//! What is known while a model's `forward` is traced instead of run.

use std::collections::{BTreeSet, HashSet};

use crate::graph::{CacheIdx, Graph, Literal, NodeId, Op, RuntimeScalar, ScalarSource, math};
use crate::tensor::{DType, HostTensor, Shape};

/// One layer's keys and values, as the first append saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// One more than the highest layer appended to.
    pub n_layers: usize,
    /// G.
    pub n_kv_heads: usize,
    /// D.
    pub head_dim: usize,
}

/// The state of one trace.
#[derive(Clone, Debug, Default)]
pub struct TraceState {
    /// R: what a cache's append gives.
    pub slots: usize,
    /// The position and true token count, for a branch or a shape made from them.
    pub position: usize,
    pub n_tokens: usize,
    pub cache: Option<CacheShape>,
    /// The layers appended to so far.
    pub appended: BTreeSet<usize>,
    /// Whether the position was looked at: the trace is good for it alone.
    pub is_pinned: bool,
    /// The variables that function literals of this trace share, by address: only these end with it.
    pub own_variables: HashSet<*const ()>,
}

impl TraceState {
    /// The value of a scalar that only run-time scalars and literals determine, or `None`.
    pub fn scalar(&mut self, graph: &Graph, node: NodeId) -> Option<HostTensor> {
        if graph.shape(node).rank() != 0 {
            return None;
        }
        let (sub, outputs) = graph.subgraph(&[node]);
        let mut values: Vec<Literal> = Vec::with_capacity(sub.len());
        let mut looked = false;
        for (_, node) in sub.nodes() {
            let input = |i: usize| values[node.inputs[i].0 as usize];
            let value = match &node.op {
                Op::Scalar(ScalarSource::Literal { index, .. }) => sub.literals()[*index as usize],
                Op::Scalar(ScalarSource::Runtime(RuntimeScalar::Position(CacheIdx(0)))) => {
                    looked = true;
                    Literal::I32(self.position as i32)
                }
                Op::Scalar(ScalarSource::Runtime(RuntimeScalar::TokenCount)) => {
                    looked = true;
                    Literal::I32(self.n_tokens as i32)
                }
                Op::Unary(op) => match input(0) {
                    Literal::F32(x) => Literal::F32(math::unary_f32(*op, x)),
                    Literal::I32(x) => Literal::I32(math::unary_i32(*op, x)),
                },
                Op::Binary(op) => match (input(0), input(1)) {
                    (Literal::F32(a), Literal::F32(b)) => match math::compare_f32(*op, a, b) {
                        Some(truth) => Literal::I32(truth.into()),
                        None => Literal::F32(math::binary_f32(*op, a, b)),
                    },
                    (Literal::I32(a), Literal::I32(b)) => Literal::I32(math::binary_i32(*op, a, b)),
                    _ => return None,
                },
                Op::Cast(dtype) => match (input(0), dtype.is_float()) {
                    (Literal::F32(x), true) => Literal::F32(math::round_to(*dtype, x)),
                    (Literal::I32(x), true) => Literal::F32(math::round_to(*dtype, x as f32)),
                    (Literal::F32(x), false) if *dtype == DType::Bool => Literal::I32((x != 0.0).into()),
                    (Literal::I32(x), false) if *dtype == DType::Bool => Literal::I32((x != 0).into()),
                    (Literal::F32(x), false) => Literal::I32(x as i32),
                    (Literal::I32(x), false) => Literal::I32(x),
                },
                _ => return None,
            };
            values.push(value);
        }
        self.is_pinned |= looked;
        let dtype = graph.dtype(node);
        Some(match values[outputs[0].0 as usize] {
            Literal::F32(v) => HostTensor::f32(Shape::scalar(), vec![v]),
            Literal::I32(v) => HostTensor { dtype, ..HostTensor::i32(Shape::scalar(), vec![v]) },
        })
    }
}

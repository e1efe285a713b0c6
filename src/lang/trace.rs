//! What is known while a model's `forward` is traced instead of run.

use std::collections::{BTreeSet, HashSet};

use crate::graph::{CacheIdx, Graph, Literal, NodeId, Op, Origin, RuntimeScalar, ScalarSource, TokenDim, math};
use crate::tensor::{DType, HostTensor, Shape};

use super::session::{Session, Tensor};
use super::value::{Fault, Value};

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
    /// Positions that the pages of the cache hold: the rows that an append gives.
    pub n_positions: usize,
    /// W: how many tokens the cache keeps in view.
    pub window: usize,
    /// The position and true token count, for a branch or a shape made from them.
    pub position: usize,
    pub n_tokens: usize,
    pub cache: Option<CacheShape>,
    /// The layers appended to so far.
    pub appended: BTreeSet<usize>,
    /// Whether the position was looked at: the trace is good for it alone.
    pub is_pinned: bool,
    /// Whether the rows are a bucket of which a run fills some, so that their number is not that of the tokens.
    pub is_bucket: bool,
    /// What first needed the number of tokens and not just a row for each: the trace is of no use, and the next must be for the exact number.
    pub counted: Option<Origin>,
    /// The first step in which tokens mix: what is made of it is of no known size, so it is to blame where that is asked for.
    pub mixed: Option<Origin>,
    /// The variables that function literals of this trace share, by address: only these end with it.
    pub own_variables: HashSet<usize>,
}

impl Session {
    /// The error of whatever needs the number of tokens while a bucket is traced for. The trace is made again for the exact number, where it
    /// is a plain number.
    pub(super) fn needs_count(&mut self) -> Fault {
        let origin = self.origin();
        if let Some(trace) = &mut self.trace {
            trace.counted.get_or_insert(origin);
        }
        Fault::new("the number of tokens is known only for an exact number of rows")
    }

    /// The size of a dimension, as a number that knows whether it is the bucket of tokens.
    pub(super) fn size(&self, tensor: &Tensor, dim: usize) -> Value {
        let size = tensor.shape()[dim];
        if tensor.is_counted(dim) { count(size) } else { Value::Int(size as i64) }
    }

    /// What a new node has of the bucket.
    pub(super) fn token_dim(&mut self, node: NodeId) -> TokenDim {
        if !self.trace.as_ref().is_some_and(|trace| trace.is_bucket) {
            return TokenDim::None;
        }
        let mut dims = std::mem::take(&mut self.token_dims);
        let known = dims.len();
        self.graph().extend_token_dims(&mut dims);
        if let Some(at) = dims[known..].iter().position(|&dim| dim == TokenDim::Mixed) {
            let origin = self.graph().node(NodeId((known + at) as u32)).origin;
            if let Some(trace) = &mut self.trace {
                trace.mixed.get_or_insert(origin);
            }
        }
        self.token_dims = dims;
        self.token_dims[node.0 as usize]
    }
}

/// The number of tokens, as a bucket holds it.
pub(super) fn count(size: usize) -> Value {
    Value::Tensor(Tensor::from_sizes(HostTensor::i32(Shape::scalar(), vec![size as i32]), 1))
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

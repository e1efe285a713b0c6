//! One step a node: what a plan is before anything is fused. Layout ops become views, scalars of the host words of the parameter block.

mod elementwise;
mod layout;
mod neural;
mod scalar;
mod tensor;

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::{CompileOptions, Graph, Node, NodeId, Op};
use crate::tensor::{DType, Shape};

use super::draft::Draft;
use super::place::{Placements, as_weight};
use super::{Buf, Elementwise, Expr, ExprOp, Kernel, OutputSpec, PlanError, Rows, ScalarRef, View};

/// What a node is in a plan.
#[derive(Clone, Debug)]
enum Lowered {
    /// Elements in a buffer, one stride for each of the node's dimensions.
    Tensor(View),
    /// A scalar that the host knows, whatever the node's shape: every element is it.
    Scalar(ScalarRef),
    /// A weight that nothing has read as plain values yet.
    Weight,
    /// A layer of a cache after a write.
    Cache,
}

pub(super) struct Lowering<'g> {
    graph: &'g Graph,
    options: &'g CompileOptions,
    /// By node: the dimension that is the token bucket.
    token_dims: Vec<Option<usize>>,
    draft: Draft<'g>,
    lowered: Vec<Lowered>,
    /// Row-major copies of strided values.
    copies: HashMap<NodeId, Buf>,
    /// Scalars that a kernel reads from a buffer.
    stored_scalars: HashMap<ScalarRef, Buf>,
}

/// Lowers every node of `graph`, which holds only what `outputs` need.
pub(super) fn lower<'g>(
    graph: &'g Graph,
    outputs: &[NodeId],
    options: &'g CompileOptions,
    token_dims: Vec<Option<usize>>,
    placements: Placements,
) -> Result<Draft<'g>, PlanError> {
    let draft = Draft {
        graph,
        steps: Vec::new(),
        values: Vec::new(),
        placements,
        rope_rows: Vec::new(),
        scalars: super::Scalars { words: Vec::new(), literals: graph.literals().to_vec() },
        outputs: Vec::new(),
    };
    let mut lowering =
        Lowering { graph, options, token_dims, draft, lowered: Vec::new(), copies: HashMap::new(), stored_scalars: HashMap::new() };
    for (id, node) in graph.nodes() {
        let lowered = lowering.node(id, node)?;
        lowering.lowered.push(lowered);
    }
    for &output in outputs {
        let spec = lowering.output(output);
        lowering.draft.outputs.push(spec);
    }
    Ok(lowering.draft)
}

impl<'g> Lowering<'g> {
    fn node(&mut self, id: NodeId, node: &'g Node) -> Result<Lowered, PlanError> {
        if let Some(word) = self.scalar_word(node) {
            return Ok(Lowered::Scalar(word));
        }
        match &node.op {
            Op::Input(input) => Ok(Lowered::Tensor(View::contiguous(Buf::Input(*input), &node.shape))),
            Op::Weight(_) => Ok(Lowered::Weight),
            Op::Scalar(_) => Err(self.unsupported(node, "a scalar that the host does not know")),
            Op::Unary(_) | Op::Binary(_) | Op::Where | Op::Cast(_) => Ok(self.elementwise(id, node)),
            Op::Reshape | Op::Permute(_) | Op::Broadcast | Op::Slice { .. } => Ok(self.layout(node)),
            Op::Concat { axis } => Ok(self.concat(id, node, *axis)),
            Op::Iota | Op::Random(_) => self.source(id, node),
            Op::SelectRow | Op::LastRows { .. } | Op::Gather { .. } | Op::ScatterAdd { .. } => self.indexed(id, node),
            Op::Reduce { .. } | Op::ArgMax { .. } | Op::ArgMin { .. } | Op::CumSum { .. } | Op::Softmax { .. } | Op::ArgSort { .. } => {
                self.along_axis(id, node)
            }
            Op::Einsum(spec) => Ok(self.einsum(id, node, spec)),
            Op::RopeRows { .. }
            | Op::Linear
            | Op::ExpertLinear
            | Op::Embedding
            | Op::RmsNorm
            | Op::Rope { .. }
            | Op::CacheAppend { .. }
            | Op::Attention { .. }
            | Op::RecordedIds(_)
            | Op::Sample { .. } => self.neural(id, node),
        }
    }

    fn shape(&self, id: NodeId) -> &'g Shape {
        self.graph.shape(id)
    }

    /// The type of a node's elements in a kernel: floats are f32 whatever they are stored as.
    fn dtype(&self, id: NodeId) -> DType {
        kernel_dtype(self.graph.dtype(id))
    }

    /// Whether dimension 0 is the token bucket.
    fn is_dynamic(&self, id: NodeId) -> bool {
        self.token_dims[id.0 as usize] == Some(0)
    }

    /// Rows of all dimensions but the last. The bucket counts them only where each token has one.
    fn rows(&self, id: NodeId) -> Rows {
        let shape = self.shape(id);
        Rows { count: shape.rows(), dynamic: self.is_dynamic(id) && shape.rank() == 2 }
    }

    /// The node's elements, wherever they lie.
    fn view(&mut self, id: NodeId) -> View {
        let shape = self.shape(id);
        match self.lowered[id.0 as usize].clone() {
            Lowered::Tensor(view) => view,
            Lowered::Scalar(word) => View { buf: self.stored_scalar(word, id), offset: 0, strides: vec![0; shape.rank()] },
            Lowered::Weight => {
                let view = match as_weight(self.graph, id) {
                    Some(weight) => View::contiguous(Buf::Weight(self.draft.placements.dense(std::slice::from_ref(weight))), shape),
                    None => View::contiguous(self.draft.value(shape.len()), shape),
                };
                self.lowered[id.0 as usize] = Lowered::Tensor(view.clone());
                view
            }
            Lowered::Cache => View::contiguous(self.draft.value(shape.len()), shape),
        }
    }

    /// The node's elements in row-major order from a buffer's start on.
    fn buf(&mut self, id: NodeId) -> Buf {
        if let Some(&copy) = self.copies.get(&id) {
            return copy;
        }
        let view = self.view(id);
        if view.offset == 0 && view.is_row_major(self.shape(id)) {
            return view.buf;
        }
        let copy = self.copy(id);
        self.copies.insert(id, copy);
        copy
    }

    /// A step that writes the node's elements, row-major, to a value of its own.
    fn copy(&mut self, id: NodeId) -> Buf {
        let shape = self.shape(id);
        let dtype = self.dtype(id);
        let out = self.draft.value(shape.len());
        let (op, inputs, scalars) = match self.lowered[id.0 as usize] {
            Lowered::Scalar(word) => (ExprOp::Scalar(0), vec![], vec![word]),
            _ => (ExprOp::Input(0), vec![(self.view(id), dtype)], vec![]),
        };
        let (dims, dynamic) = (shape.dims().to_vec(), self.is_dynamic(id));
        let kernel = Elementwise { expr: Expr { ops: vec![op] }, inputs, scalars, out, dtype, dims, dynamic };
        self.draft.push(Kernel::Elementwise(kernel), vec![id]);
        out
    }

    /// A new value of the node's size, and the node's view of it.
    fn written(&mut self, id: NodeId) -> (Buf, Lowered) {
        let shape = self.shape(id);
        let out = self.draft.value(shape.len());
        (out, Lowered::Tensor(View::contiguous(out, shape)))
    }

    /// Where the output is: an input is read in place, anything else has a buffer of its own.
    fn output(&mut self, id: NodeId) -> OutputSpec {
        let (shape, dtype) = (self.shape(id).clone(), self.value_dtype(id));
        let buf = match self.lowered[id.0 as usize].clone() {
            Lowered::Cache => return OutputSpec { buf: self.draft.value(0), shape: Shape::from([0]), dtype },
            Lowered::Scalar(word) if shape.len() == 1 => self.stored_scalar(word, id),
            Lowered::Tensor(view) if view.offset == 0 && view.is_row_major(&shape) => match view.buf {
                Buf::Slot(slot) if self.draft.values[slot.0 as usize] == shape.len() => view.buf,
                Buf::Input(_) if self.input_len(view.buf) == shape.len() => view.buf,
                _ => self.copy(id),
            },
            _ => self.copy(id),
        };
        OutputSpec { buf, shape, dtype }
    }

    /// The type of the node as a tensor: a weight in blocks is read as f32.
    fn value_dtype(&self, id: NodeId) -> DType {
        match self.graph.dtype(id) {
            DType::Quant(_) => DType::F32,
            other => other,
        }
    }

    fn input_len(&self, buf: Buf) -> usize {
        let of = |node: &Node| matches!((&node.op, buf), (Op::Input(a), Buf::Input(b)) if *a == b);
        self.graph.nodes().find(|(_, node)| of(node)).map_or(0, |(_, node)| node.shape.len())
    }

    fn unsupported(&self, node: &Node, message: impl Into<String>) -> PlanError {
        PlanError::Unsupported { message: message.into(), origin: node.origin }
    }
}

/// What a kernel computes with: floats are held as f32.
fn kernel_dtype(dtype: DType) -> DType {
    if dtype.is_float() { DType::F32 } else { dtype }
}

/// Elements before, along and after an axis.
fn around(shape: &Shape, axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// The shared descriptor of a node's weight.
fn weight_of(graph: &Graph, id: NodeId) -> Option<Arc<crate::graph::Weight>> {
    as_weight(graph, id).cloned()
}

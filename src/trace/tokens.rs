//! Which dimension of a node is the token bucket, so that a trace shows the true rows alone.

use crate::graph::{Graph, Node, Op};
use crate::tensor::{HostData, HostTensor, Shape};

/// By node: the dimension that is the token bucket, `None` where there is none or it cannot be followed.
pub(super) fn token_dims(graph: &Graph) -> Vec<Option<usize>> {
    let mut dims: Vec<Option<usize>> = vec![None; graph.len()];
    let Some(tokens) = graph.tokens() else { return dims };
    let bucket = graph.shape(tokens).len();
    for (id, node) in graph.nodes() {
        let made = graph.long_as_tokens(id);
        let dim = if id == tokens { Some(0) } else { made.or_else(|| token_dim(graph, node, &dims)) };
        dims[id.0 as usize] = dim.filter(|&d| node.shape.dims().get(d) == Some(&bucket));
    }
    dims
}

fn token_dim(graph: &Graph, node: &Node, dims: &[Option<usize>]) -> Option<usize> {
    let of = |i: usize| node.inputs.get(i).and_then(|id| dims[id.0 as usize]);
    let shape_of = |i: usize| graph.shape(node.inputs[i]);
    let rank = node.shape.rank();
    match &node.op {
        Op::Input(_)
        | Op::Weight(_)
        | Op::Scalar(_)
        | Op::RecordedIds(_)
        | Op::Iota
        | Op::Random(_)
        | Op::CacheAppend { .. }
        | Op::LastRows { .. }
        | Op::Sample { .. } => None,
        Op::RopeRows { .. } => graph.tokens().map(|_| 0),
        Op::Binary(_) | Op::Where | Op::Broadcast => (0..node.inputs.len()).find_map(|i| of(i).map(|d| d + rank - shape_of(i).rank())),
        Op::Reshape => of(0).and_then(|d| kept_by_reshape(shape_of(0), d, &node.shape)),
        Op::Permute(axes) => of(0).and_then(|d| axes.iter().position(|&a| a == d)),
        Op::Concat { .. } => (0..node.inputs.len()).find_map(of),
        Op::SelectRow => of(0).and_then(|d| d.checked_sub(1)),
        Op::Gather { axis } => {
            let n_index_dims = shape_of(1).rank();
            match of(0) {
                Some(d) if d < *axis => Some(d),
                Some(d) if d > *axis => Some(d + n_index_dims - 1),
                _ => of(1).map(|d| d + axis),
            }
        }
        Op::Reduce { axis, keep, .. } | Op::ArgMax { axis, keep } | Op::ArgMin { axis, keep } => match of(0) {
            Some(d) if d == *axis => None,
            Some(d) if d > *axis && !keep => Some(d - 1),
            dim => dim,
        },
        Op::Einsum(spec) => {
            let letter = (0..node.inputs.len()).find_map(|i| of(i).map(|d| spec.operands[i][d]))?;
            spec.output.iter().position(|&l| l == letter)
        }
        _ => of(0),
    }
}

/// Where dimension `d` of `from` is in `to`: that of equal size with as many elements before it.
fn kept_by_reshape(from: &Shape, d: usize, to: &Shape) -> Option<usize> {
    let before: usize = from[..d].iter().product();
    (0..to.rank()).find(|&j| to[j] == from[d] && to[..j].iter().product::<usize>() == before)
}

/// The first `n` indices of `dim` alone.
pub(super) fn first_of_dim(tensor: &HostTensor, dim: usize, n: usize) -> HostTensor {
    let full = tensor.shape[dim];
    if n >= full {
        return tensor.clone();
    }
    let inner: usize = tensor.shape[dim + 1..].iter().product();
    let mut dims = tensor.shape.to_vec();
    dims[dim] = n;
    let data = match &tensor.data {
        HostData::F32(values) => HostData::F32(first_of_chunks(values, full * inner, n * inner)),
        HostData::I32(values) => HostData::I32(first_of_chunks(values, full * inner, n * inner)),
    };
    HostTensor { shape: Shape::new(dims), dtype: tensor.dtype, data }
}

/// Rows `first .. first + n` of dimension 0.
pub(super) fn rows(tensor: &HostTensor, first: usize, n: usize) -> HostTensor {
    let inner: usize = tensor.shape[1..].iter().product();
    let range = first * inner..(first + n) * inner;
    let mut dims = tensor.shape.to_vec();
    dims[0] = n;
    let data = match &tensor.data {
        HostData::F32(values) => HostData::F32(values[range].to_vec()),
        HostData::I32(values) => HostData::I32(values[range].to_vec()),
    };
    HostTensor { shape: Shape::new(dims), dtype: tensor.dtype, data }
}

fn first_of_chunks<T: Copy>(values: &[T], len: usize, kept: usize) -> Vec<T> {
    values.chunks(len.max(1)).flat_map(|chunk| &chunk[..kept.min(chunk.len())]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{BinaryOp, ReduceOp};

    #[test]
    fn the_bucket_is_followed_through_layout_reductions_and_contractions() {
        let mut g = Graph::new();
        let ids = g.tokens_input(4);
        let table = g.input([9, 6], crate::tensor::DType::F32);
        let x = g.embedding(ids, table).unwrap();
        let heads = g.reshape(x, [4, 2, 3]).unwrap();
        let turned = g.permute(heads, &[1, 0, 2]).unwrap();
        let sum = g.reduce(ReduceOp::Sum, turned, 0, false).unwrap();
        let scores = g.einsum("htd,hsd->hs", &[turned, turned]).unwrap();
        let doubled = g.binary(BinaryOp::Add, sum, sum).unwrap();
        let dims = token_dims(&g);
        let of = |id: crate::graph::NodeId| dims[id.0 as usize];
        assert_eq!([of(x), of(heads), of(turned), of(sum), of(doubled)], [Some(0), Some(0), Some(1), Some(0), Some(0)]);
        assert_eq!((of(table), of(scores)), (None, None));
    }

    #[test]
    fn rows_are_cut_along_any_dimension() {
        let x = HostTensor::f32([2, 3, 2], (0..12).map(|v| v as f32).collect());
        let cut = first_of_dim(&x, 1, 2);
        assert_eq!(cut, HostTensor::f32([2, 2, 2], vec![0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0]));
    }
}

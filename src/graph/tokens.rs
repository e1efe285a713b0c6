//! Which dimension of each node is the token bucket.
//!
//! A step is compiled for a bucket of rows of which a run fills the first few; the others hold whatever was there. That is sound as long
//! as no true row looks at another row of the bucket but through the cache.

use crate::tensor::Shape;

use super::node::{Graph, Node, NodeId};
use super::op::Op;

/// What a node has of the token bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenDim {
    /// Nothing: its values are the same whatever the bucket holds.
    #[default]
    None,
    /// This dimension is the bucket.
    At(usize),
    /// Rows of the bucket meet in its values, or in those it is made of: they are right only where all rows are true.
    Mixed,
}

impl Graph {
    /// By node. All `None` where the graph has no token input, or one of a single row, which is always true.
    pub fn token_dims(&self) -> Vec<TokenDim> {
        let mut dims = Vec::new();
        self.extend_token_dims(&mut dims);
        dims
    }

    /// Appends what is known of the nodes from `dims.len()` on.
    pub fn extend_token_dims(&self, dims: &mut Vec<TokenDim>) {
        let tokens = self.tokens().filter(|&t| self.shape(t).len() > 1);
        for i in dims.len()..self.len() {
            let (id, node) = (NodeId(i as u32), &self.nodes[i]);
            let dim = match tokens {
                None => TokenDim::None,
                Some(tokens) if id == tokens => TokenDim::At(0),
                Some(tokens) => self.token_dim(id, node, self.shape(tokens).len(), dims),
            };
            dims.push(dim);
        }
    }

    fn token_dim(&self, id: NodeId, node: &Node, bucket: usize, dims: &[TokenDim]) -> TokenDim {
        let of = |i: usize| dims[node.inputs[i].0 as usize];
        if (0..node.inputs.len()).any(|i| of(i) == TokenDim::Mixed) {
            return TokenDim::Mixed;
        }
        let input =
            |i: usize| Operand { dim: if let TokenDim::At(dim) = of(i) { Some(dim) } else { None }, shape: self.shape(node.inputs[i]) };
        match token_dim(node, bucket, self.long_as_tokens(id), &input) {
            Ok(None) => TokenDim::None,
            Ok(Some(dim)) => TokenDim::At(dim),
            Err(Mixes) => TokenDim::Mixed,
        }
    }
}

/// Rows of the bucket meet.
struct Mixes;

struct Operand<'a> {
    dim: Option<usize>,
    shape: &'a Shape,
}

/// `own` is the dimension that the node was made with, as long as the tokens are many.
fn token_dim<'a>(node: &Node, bucket: usize, own: Option<usize>, input: &dyn Fn(usize) -> Operand<'a>) -> Result<Option<usize>, Mixes> {
    let none = |i: usize| if input(i).dim.is_none() { Ok(()) } else { Err(Mixes) };
    let rank = node.shape.rank();
    match &node.op {
        Op::Input(_) | Op::Weight(_) | Op::Scalar(_) | Op::RecordedIds(_) => Ok(None),
        Op::Iota | Op::Random(_) => Ok(own),
        Op::RopeRows { .. } => Ok((node.shape[0] == bucket).then_some(0)),
        Op::Unary(_) | Op::Cast(_) => Ok(input(0).dim),
        Op::Binary(_) | Op::Where | Op::Broadcast => {
            let aligned = |i: usize| input(i).dim.map(|d| d + rank - input(i).shape.rank());
            agree((0..node.inputs.len()).map(aligned).chain([own]))
        }
        Op::Reshape => input(0).dim.map(|d| kept_by_reshape(input(0).shape, d, &node.shape)).transpose(),
        Op::Permute(axes) => Ok(input(0).dim.and_then(|d| axes.iter().position(|&a| a == d))),
        Op::Slice { steps, .. } => match input(0).dim {
            Some(d) if node.shape[d] != bucket || steps[d] != 1 => Err(Mixes),
            dim => Ok(dim),
        },
        Op::Concat { axis } => match agree((0..node.inputs.len()).map(|i| input(i).dim))? {
            Some(d) if d == *axis => Err(Mixes),
            dim => Ok(dim),
        },
        Op::SelectRow => Ok(input(0).dim.and_then(|d| d.checked_sub(1))),
        // The rows that are picked are true ones.
        Op::LastRows { .. } => match input(0).dim {
            Some(d) if d > 0 => Err(Mixes),
            _ => Ok(None),
        },
        Op::Gather { axis } => {
            let shift = input(1).shape.rank();
            let of_x =
                input(0).dim.map(|d| if d > *axis { Ok(d + shift - 1) } else { (d < *axis).then_some(d).ok_or(Mixes) }).transpose()?;
            agree([of_x, input(1).dim.map(|d| d + axis)].into_iter())
        }
        Op::ScatterAdd { axis } => {
            none(1)?;
            match agree([input(0).dim, input(2).dim].into_iter())? {
                Some(d) if d == *axis => Err(Mixes),
                dim => Ok(dim),
            }
        }
        Op::Reduce { axis, keep, .. } | Op::ArgMax { axis, keep } | Op::ArgMin { axis, keep } => match input(0).dim {
            Some(d) if d == *axis => Err(Mixes),
            Some(d) if d > *axis && !keep => Ok(Some(d - 1)),
            dim => Ok(dim),
        },
        Op::CumSum { axis } | Op::Softmax { axis } => {
            if input(0).dim == Some(*axis) {
                Err(Mixes)
            } else {
                Ok(input(0).dim)
            }
        }
        Op::ArgSort { .. } => before_last(input(0)),
        Op::Einsum(spec) => {
            let letter = |i: usize| input(i).dim.map(|d| spec.operands[i][d]);
            let letters: Vec<char> = (0..node.inputs.len()).filter_map(letter).collect();
            let Some(&first) = letters.first() else { return Ok(None) };
            if letters.iter().any(|&l| l != first) {
                return Err(Mixes);
            }
            // Twice in one operand it is a diagonal, whose other side could be anything.
            spec.output.iter().position(|&l| l == first).map(Some).ok_or(Mixes)
        }
        Op::Linear | Op::RmsNorm => {
            none(1)?;
            before_last(input(0))
        }
        Op::ExpertLinear => {
            none(1)?;
            match agree([input(0).dim, input(2).dim].into_iter())? {
                Some(d) if d != 0 => Err(Mixes),
                dim => Ok(dim),
            }
        }
        Op::Embedding => none(1).map(|()| input(0).dim),
        Op::Rope { .. } => match agree([input(0).dim, input(1).dim].into_iter())? {
            Some(d) if d != 0 => Err(Mixes),
            dim => Ok(dim),
        },
        Op::CacheAppend { .. } => match agree([input(0).dim, input(1).dim].into_iter())? {
            Some(d) if d != 0 => Err(Mixes),
            _ => Ok(None),
        },
        Op::Attention { .. } => match input(0).dim {
            Some(d) if d != 0 => Err(Mixes),
            dim => Ok(dim),
        },
        Op::Sample { .. } => none(0).map(|()| None),
    }
}

fn before_last(x: Operand<'_>) -> Result<Option<usize>, Mixes> {
    match x.dim {
        Some(d) if d + 1 == x.shape.rank() => Err(Mixes),
        dim => Ok(dim),
    }
}

fn agree(dims: impl Iterator<Item = Option<usize>>) -> Result<Option<usize>, Mixes> {
    let mut found = None;
    for dim in dims.flatten() {
        if found.is_some_and(|f| f != dim) {
            return Err(Mixes);
        }
        found = Some(dim);
    }
    Ok(found)
}

/// Where dimension `d` of `from` is in `to`: that of equal size with as many elements before it.
fn kept_by_reshape(from: &Shape, d: usize, to: &Shape) -> Result<usize, Mixes> {
    let before: usize = from[..d].iter().product();
    (0..to.rank()).find(|&j| to[j] == from[d] && to[..j].iter().product::<usize>() == before).ok_or(Mixes)
}

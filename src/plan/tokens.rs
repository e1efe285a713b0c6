//! A refusal of what would mix the rows of a token bucket.

use std::borrow::Cow;
use std::fmt::Debug;

use crate::graph::{Graph, Op, TokenDim};

use super::PlanError;

/// By node: the dimension that is the bucket.
pub(super) fn token_dims(graph: &Graph) -> Result<Vec<Option<usize>>, PlanError> {
    let dims = graph.token_dims().into_iter().zip(graph.nodes());
    dims.map(|(dim, (_, node))| match dim {
        TokenDim::None => Ok(None),
        TokenDim::At(dim) => Ok(Some(dim)),
        TokenDim::Mixed => Err(PlanError::MixesTokens { op: op_name(&node.op).into_owned(), origin: node.origin }),
    })
    .collect()
}

/// The op as the language spells it.
pub fn op_name(op: &Op) -> Cow<'static, str> {
    let known = match op {
        Op::Unary(op) => return lower(op),
        Op::Binary(op) => return lower(op),
        Op::Reduce { op, .. } => return lower(op),
        Op::Input(_) => "input",
        Op::Weight(_) => "weight",
        Op::Scalar(_) => "scalar",
        Op::RopeRows { .. } => "rope_rows",
        Op::Iota => "arange",
        Op::Random(_) => "rand",
        Op::Where => "where",
        Op::Cast(_) => "cast",
        Op::Reshape => "reshape",
        Op::Permute(_) => "permute",
        Op::Broadcast => "broadcast_to",
        Op::Slice { .. } => "slice",
        Op::Concat { .. } => "concat",
        Op::SelectRow => "select_row",
        Op::RecordedIds(_) => "recorded_ids",
        Op::LastRows { .. } => "last_rows",
        Op::Gather { .. } => "gather",
        Op::ScatterAdd { .. } => "scatter",
        Op::ArgMax { .. } => "argmax",
        Op::ArgMin { .. } => "argmin",
        Op::CumSum { .. } => "cumsum",
        Op::ArgSort { .. } => "sort",
        Op::Einsum(_) => "einsum",
        Op::Linear => "linear",
        Op::ExpertLinear => "expert_linear",
        Op::Embedding => "embedding",
        Op::RmsNorm => "rms_norm",
        Op::Softmax { .. } => "softmax",
        Op::Rope { .. } => "rope",
        Op::CacheAppend { .. } => "cache.append",
        Op::Attention { .. } => "attention",
        Op::Sample { .. } => "sample",
    };
    Cow::Borrowed(known)
}

fn lower(op: &impl Debug) -> Cow<'static, str> {
    Cow::Owned(format!("{op:?}").to_lowercase())
}

//! Why a graph has no plan.

use crate::graph::{ExecError, Origin};

/// A graph that cannot be planned as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A use that needs to know which rows of a token bucket are true. Compiled with as many rows as the run has tokens, the graph is fine.
    #[error("`{op}` mixes the tokens of a step, whose number is known only at run time")]
    MixesTokens { op: String, origin: Origin },
    /// No kernel takes these operands.
    #[error("{message}")]
    Unsupported { message: String, origin: Origin },
}

impl PlanError {
    /// The place of the node that cannot be planned.
    pub fn origin(&self) -> Origin {
        match self {
            PlanError::MixesTokens { origin, .. } | PlanError::Unsupported { origin, .. } => *origin,
        }
    }
}

impl From<PlanError> for ExecError {
    fn from(error: PlanError) -> Self {
        let (message, origin) = (error.to_string(), error.origin());
        match error {
            PlanError::MixesTokens { .. } => ExecError::MixesTokens { message, origin },
            PlanError::Unsupported { .. } => ExecError::Unsupported { message, origin },
        }
    }
}

//! What a draw gives where its logits leave nothing to choose.

/// Why no id can be chosen from logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// At least one of them is NaN.
    #[error("the logits hold NaN")]
    Nan,
    /// The largest is inf, or all of them are -inf, so that they say nothing of each other.
    #[error("the largest logit is infinite")]
    Infinite,
}

impl NoChoice {
    /// What `Op::Sample` gives in place of an id; kernels write the same numbers.
    pub fn id(self) -> i32 {
        match self {
            NoChoice::Nan => -1,
            NoChoice::Infinite => -2,
        }
    }

    /// The reason that an id stands for; `None` of a true id.
    pub fn of_id(id: i32) -> Option<Self> {
        [NoChoice::Nan, NoChoice::Infinite].into_iter().find(|reason| reason.id() == id)
    }
}

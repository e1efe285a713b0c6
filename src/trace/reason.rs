//! Likely reasons for a step's error.

use std::fmt;

/// What a reason is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonKind {
    /// Other token ids were fed.
    Tokens,
    Zero,
    NonFinite,
    F16Overflow,
    F16Rounding,
    Bf16Rounding,
    /// Errors of the size and shape of f16 arithmetic, in values that are no f16 numbers themselves.
    F16Arithmetic,
    Sign,
    /// One factor for all values.
    Scale,
    /// One addend for each column.
    Bias,
    /// Columns, or rows, each off by a factor of their own.
    NormWeight,
    NormEps,
    Transposed,
    RopeOrder,
    /// The rotation itself: none, backwards, another base.
    Rotation,
    /// Rows, or the positions of a rotation, off by one or more.
    Position,
    HeadOrder,
    HeadGroups,
    /// Rows that hold another row's values.
    StaleRows,
    /// The values of another step.
    Swapped,
    Mask,
    AttentionScale,
    /// Another function of the same inputs.
    Function,
    /// Another number of heads.
    Heads,
    /// A step that the reference has and the program does not.
    Missing,
    /// Layers in another order, or one too few.
    Layers,
    /// Rows of the embedding, or columns of the logits, that belong to other tokens.
    Vocabulary,
    /// Keys and values in a type that cannot hold them.
    CacheType,
    /// The reference is at fault: NaN, or another layout.
    Reference,
    /// Another weight, or a weight read otherwise.
    Weight,
    WeightFormat,
    /// Where the errors are.
    Where,
    /// The backend computes what the program says; the program or its weights are not the reference's.
    Program,
    /// The backend does not compute what the program says.
    Backend,
    /// No step alone is wrong; errors add up.
    Accumulated,
}

/// One likely reason, in a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub kind: ReasonKind,
    pub text: String,
}

impl Reason {
    pub(super) fn new(kind: ReasonKind, text: impl Into<String>) -> Self {
        Reason { kind, text: text.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

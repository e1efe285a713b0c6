//! Checks of a backend: every kernel on small odd shapes against `reference`, and what they found as a report. `tl doctor` prints it, the
//! tests assert it.

mod attention;
mod case;
mod contraction;
mod elementwise;
mod experts;
mod layout;
mod model;
mod neural;
mod noise;
mod reduce;
mod report;
mod sampling;

pub use case::{Bound, Case, Outcome, Run, Verdict};
pub use noise::Noise;
pub use report::{Check, Fact, Mode, Report, Row};

use crate::graph::Executor;
use crate::reference::ReferenceExecutor;

/// What the executor under test computes with: it decides the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `--precise`: f32 throughout.
    Precise,
    /// The default: quantized weights may meet int8 activations, matrices f16 tiles.
    Fast,
}

/// Every case, by kernel. `arithmetic` sets the bounds of those that it changes.
pub fn cases(arithmetic: Arithmetic) -> Vec<Case> {
    let mut cases = Vec::new();
    elementwise::cases(&mut cases);
    layout::cases(&mut cases);
    reduce::cases(&mut cases);
    contraction::cases(arithmetic, &mut cases);
    experts::cases(arithmetic, &mut cases);
    neural::cases(&mut cases);
    attention::cases(arithmetic, &mut cases);
    sampling::cases(&mut cases);
    model::cases(arithmetic, &mut cases);
    cases
}

/// Runs one case on `executor` and on the reference.
pub fn check(case: &Case, executor: &mut dyn Executor) -> Outcome {
    case.check(executor, &mut ReferenceExecutor::new())
}

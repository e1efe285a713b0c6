//! Patterns that faults leave in a step's values, seen without running anything.

mod magnitude;
mod order;
mod precision;
mod rows;

pub(super) use order::permuted;
pub(super) use precision::reference_rounded;

use crate::tensor::{HostTensor, Shape};

use super::measure::rms;
use super::reason::Reason;

/// A wrong step, its reference, and what else is known.
pub(super) struct Evidence<'a> {
    pub shape: &'a Shape,
    pub ours: Vec<f64>,
    pub theirs: Vec<f64>,
    /// Relative error that is no difference.
    pub tolerance: f64,
    /// Sizes that a head may have, where the graph rotates or attends.
    pub head_dims: Vec<usize>,
    /// Other steps of ours, and other values of the reference.
    pub our_steps: Vec<(&'a str, &'a HostTensor)>,
    pub their_steps: Vec<(&'a str, &'a HostTensor)>,
    /// Whether the step's own inputs hold NaN or infinity, where they are known.
    pub inputs_finite: bool,
    /// The largest magnitude among the step's inputs.
    pub inputs_max: f64,
    /// Whether the step lets tokens see each other.
    pub is_attention: bool,
}

impl<'a> Evidence<'a> {
    pub fn new(ours: &'a HostTensor, theirs: &HostTensor, tolerance: f64) -> Self {
        let values = |t: &HostTensor| (0..t.len()).map(|i| t.value(i)).collect();
        Evidence {
            shape: &ours.shape,
            ours: values(ours),
            theirs: values(theirs),
            tolerance,
            head_dims: Vec::new(),
            our_steps: Vec::new(),
            their_steps: Vec::new(),
            inputs_finite: true,
            inputs_max: 0.0,
            is_attention: false,
        }
    }

    /// Dimension 0 of a matrix or more; 1 otherwise.
    pub fn n_rows(&self) -> usize {
        if self.shape.rank() < 2 { 1 } else { self.shape[0].max(1) }
    }

    pub fn width(&self) -> usize {
        self.ours.len() / self.n_rows()
    }

    pub fn row<'b>(&self, values: &'b [f64], row: usize) -> &'b [f64] {
        let width = self.width();
        &values[row * width..(row + 1) * width]
    }

    /// Whether two lists of values are one but for rounding. What a fault leaves behind is explained when little of its error remains.
    pub fn close(&self, a: &[f64], b: &[f64]) -> bool {
        let slack = (8.0 * self.tolerance).max(0.02 * relative(&self.ours, &self.theirs).min(1.0)).clamp(1e-6, 0.02);
        relative(a, b) <= slack
    }

    /// Rows that differ from the reference's by more than rounding.
    pub fn wrong_rows(&self) -> Vec<usize> {
        let bound = (4.0 * self.tolerance).max(1e-7);
        let all = rms(self.theirs.iter().copied());
        (0..self.n_rows())
            .filter(|&t| {
                let (a, b) = (self.row(&self.ours, t), self.row(&self.theirs, t));
                let d = rms_difference(a, b);
                d.is_nan() || d > bound * rms(b.iter().copied()).max(all / 20.0)
            })
            .collect()
    }
}

fn rms_difference(a: &[f64], b: &[f64]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(x, y)| if x == y { 0.0 } else { (x - y) * (x - y) }).sum();
    (sum / a.len().max(1) as f64).sqrt()
}

/// Root mean square of the difference by that of `b`; infinite for NaN.
pub(super) fn relative(a: &[f64], b: &[f64]) -> f64 {
    let d = rms_difference(a, b);
    let by = rms(b.iter().copied());
    if d == 0.0 {
        0.0
    } else if d.is_nan() {
        f64::INFINITY
    } else {
        d / by
    }
}

/// A function that looks for one pattern.
type Pattern = fn(&Evidence<'_>) -> Option<Reason>;

/// In the order in which they are told: what is certain when it is seen, before what only narrows the search.
const PATTERNS: &[Pattern] = &[
    magnitude::all_zero,
    precision::f16_overflow,
    magnitude::nonfinite,
    magnitude::wrong_sign,
    magnitude::constant_ratio,
    order::unchanged,
    order::swapped,
    order::transposed,
    order::rope_order,
    order::heads_permuted,
    order::columns_shifted,
    order::columns_permuted,
    rows::shifted,
    rows::stale,
    precision::rounded,
    magnitude::per_column_factor,
    magnitude::per_row_factor,
    magnitude::per_column_addend,
    rows::missing_mask,
    rows::zero_rows,
    precision::f16_arithmetic,
];

/// What the values alone say.
pub(super) fn reasons(evidence: &Evidence<'_>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = PATTERNS.iter().filter_map(|pattern| pattern(evidence)).collect();
    reasons.extend(rows::where_wrong(evidence));
    reasons
}

#[cfg(test)]
mod tests;

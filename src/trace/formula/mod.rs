//! What a step's values are, as a function of other steps' values: each family of formulas is tried on the numbers, whatever ops the
//! program has. The reference's values and the program's are explained alike; where the two explanations differ is the fault.

mod attention;
mod combine;
mod copy;
mod function;
mod norm;
mod projection;
mod rotation;
mod sentence;
mod table;

use std::sync::Arc;

use crate::graph::{CacheSpec, Weight};
use crate::tensor::Shape;

use super::pattern::relative;
use rotation::Rotation;

pub(super) use sentence::{left_out_of, told};

/// Values of a step that are known.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub name: String,
    pub shape: Shape,
    pub values: Vec<f64>,
}

impl Known {
    /// Values of a token.
    pub fn width(&self) -> usize {
        self.values.len() / self.n_rows().max(1)
    }

    pub fn n_rows(&self) -> usize {
        if self.shape.rank() < 2 { 1 } else { self.shape[0] }
    }
}

/// What a formula may be made of.
#[derive(Clone)]
pub(super) struct Context<'a> {
    /// The step's name, and what it is computed from directly: the first of `known`.
    pub step: String,
    pub known: Vec<Known>,
    pub weights: Vec<Arc<Weight>>,
    pub head_dims: Vec<usize>,
    pub eps: Vec<f64>,
    pub ids: Option<Vec<i32>>,
    pub cache: Option<&'a CacheSpec>,
    pub position: usize,
}

/// The values that are to be explained, `[T, …]`.
pub(super) struct Target<'a> {
    pub values: &'a [f64],
    pub shape: &'a Shape,
    /// Relative error that an explanation may leave.
    pub slack: f64,
}

impl Target<'_> {
    pub fn n_rows(&self) -> usize {
        if self.shape.rank() < 2 { 1 } else { self.shape[0] }
    }

    pub fn width(&self) -> usize {
        self.values.len() / self.n_rows().max(1)
    }

    /// What `value(i)` leaves of the values, when that is no more than the slack. A few values decide first.
    pub fn rest(&self, value: impl Fn(usize) -> f64) -> Option<f64> {
        let sample = self.sample();
        let of = |indices: &[usize]| {
            let ours: Vec<f64> = indices.iter().map(|&i| value(i)).collect();
            let theirs: Vec<f64> = indices.iter().map(|&i| self.values[i]).collect();
            relative(&ours, &theirs)
        };
        if of(&sample) > 4.0 * self.slack {
            return None;
        }
        let all: Vec<usize> = (0..self.values.len()).collect();
        Some(of(&all)).filter(|&rest| rest <= self.slack)
    }

    /// At most 256 indices, from all rows and columns.
    pub fn sample(&self) -> Vec<usize> {
        let n = self.values.len();
        let step = (n / 256).max(1);
        // Not in step with any power of two.
        (0..n.min(256)).map(|i| if step == 1 { i } else { (i * step + i * i % step) % n }).collect()
    }
}

/// An explanation of values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Copy(String),
    /// A factor of a step.
    Scaled(f64, String),
    /// a + factor · b
    Sum(String, f64, String),
    Product(String, String),
    Function(&'static str, String),
    /// f(a) · b
    Gated(&'static str, String, String),
    Norm(norm::Norm),
    Rotation(Rotation),
    Projection(projection::Projection),
    Attention(attention::Seen),
    Rows(table::Rows),
}

/// A family of formulas.
type Family = fn(&Target<'_>, &Context<'_>) -> Option<What>;

/// The simplest first: a copy is a sum with nothing, too.
const FAMILIES: &[Family] = &[
    copy::find,
    combine::sum,
    table::find,
    norm::find,
    function::find,
    rotation::find,
    combine::product,
    projection::find,
    attention::find,
];

/// The first formula that gives the values.
pub(super) fn explain(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    if target.values.is_empty() || target.values.iter().all(|&v| v == 0.0) || target.values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    FAMILIES.iter().find_map(|find| find(target, context))
}

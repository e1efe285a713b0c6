//! A trace against a reference: the error of each step, and the first one past its tolerance.

use std::collections::HashSet;

use crate::graph::Origin;
use crate::tensor::{HostTensor, Shape};

use super::consistency::{ProgramCheck, program_checks};
use super::measure::{Errors, measure};
use super::record::Trace;
use super::reference_file::{HISTORY, Reference, TOKENS};

/// What a run rounds to, and so how far from exact it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Nothing is rounded below f32: `--precise --kv f32`.
    F32,
    /// Keys and values, tiles or weights in f16.
    F16,
    /// Activations in 8-bit blocks, or keys and values in Q8_0.
    Int8,
}

/// How far a step may be from its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Every bit: runs of one program on one device.
    Bits,
    /// `base · √depth`, with the depth of a step the longest chain of steps that leads to it. Rounding errors of a chain add up like a
    /// random walk, as long as no step amplifies them.
    Relative { base: f64 },
}

impl Tolerance {
    /// Against exact values. The base is four times and more what one step of f32, f16 or 8-bit blocks errs on the models of the tests.
    pub fn of(rounding: Rounding) -> Self {
        let base = match rounding {
            Rounding::F32 => 4e-6,
            Rounding::F16 => 1e-3,
            Rounding::Int8 => 2e-2,
        };
        Tolerance::Relative { base }
    }

    /// Between two runs that each keep to the tolerance.
    pub fn of_pair(a: Rounding, b: Rounding) -> Self {
        match (Tolerance::of(a), Tolerance::of(b)) {
            (Tolerance::Relative { base: a }, Tolerance::Relative { base: b }) => Tolerance::Relative { base: a + b },
            _ => Tolerance::Bits,
        }
    }

    /// The bound on a step's relative error; 0 for bits.
    pub fn at_depth(self, depth: usize) -> f64 {
        match self {
            Tolerance::Bits => 0.0,
            Tolerance::Relative { base } => base * (depth.max(1) as f64).sqrt(),
        }
    }

    /// What a table says of it.
    pub fn describe(self) -> String {
        match self {
            Tolerance::Bits => "every bit".to_owned(),
            Tolerance::Relative { base } => format!("{base:.0e}·√depth of the worst row's rms"),
        }
    }

    fn admits(self, errors: &Errors, depth: usize, is_float: bool, n: usize) -> bool {
        match self {
            Tolerance::Bits => errors.equal_bits,
            Tolerance::Relative { .. } if !is_float => errors.max == 0.0,
            Tolerance::Relative { .. } => {
                let bound = self.at_depth(depth);
                // The largest of n normal deviates is near √(2 ln n) deviations; four more for tails that are not normal.
                let bound_max = bound * (4.0 + (2.0 * (n.max(2) as f64).ln()).sqrt());
                errors.worst_row_rms <= bound && errors.relative_max <= bound_max
            }
        }
    }
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The reference has no such step.
    Absent,
    /// The reference's values are not as many.
    Shape(Shape),
    Agrees(Errors),
    Differs(Errors),
}

/// A step against its reference.
#[derive(Clone, Debug)]
pub struct StepComparison {
    pub name: String,
    /// What the reference calls it.
    pub their_name: Option<String>,
    pub origin: Origin,
    pub shape: Shape,
    /// Steps on the longest chain that leads here, this one included.
    pub depth: usize,
    /// The bound on `Errors::worst_row_rms`.
    pub tolerance: f64,
    pub outcome: Outcome,
    /// The program against the reference, without this run's rounding; `None` where that could not be computed.
    pub program: Option<ProgramCheck>,
}

impl StepComparison {
    pub fn errors(&self) -> Option<&Errors> {
        match &self.outcome {
            Outcome::Agrees(errors) | Outcome::Differs(errors) => Some(errors),
            _ => None,
        }
    }

    pub fn agrees(&self) -> bool {
        matches!(self.outcome, Outcome::Agrees(_)) && !self.program_is_wrong()
    }

    /// Whether the program gives other values than the reference from the reference's own inputs.
    pub fn program_is_wrong(&self) -> bool {
        self.program.is_some_and(|check| check.is_wrong())
    }

    pub fn is_wrong(&self) -> bool {
        matches!(self.outcome, Outcome::Differs(_) | Outcome::Shape(_)) || self.program_is_wrong()
    }
}

/// A trace beside its reference, step by step in the trace's order.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub ours: String,
    pub theirs: String,
    pub tolerance: Tolerance,
    pub steps: Vec<StepComparison>,
    /// The first step that is wrong. Steps are in the order in which they are computed, so all that it reads either agrees or has no reference.
    pub first_wrong: Option<usize>,
    /// Tensors of the reference that no step took.
    pub unused: Vec<String>,
    /// Steps that hold NaN or infinity on both sides: they agree, and say nothing.
    pub nonfinite: Vec<String>,
}

impl Comparison {
    /// Whether every step that has a reference agrees with it, and at least one has.
    pub fn agrees(&self) -> bool {
        self.first_wrong.is_none() && self.steps.iter().any(StepComparison::agrees)
    }

    /// The compared step whose error is the largest share of its bound.
    pub fn nearest(&self) -> Option<(&StepComparison, &Errors)> {
        let of = |step: &StepComparison| step.errors().map_or(0.0, |e| e.worst_row_rms / step.tolerance.max(f64::MIN_POSITIVE));
        self.steps.iter().filter_map(|s| Some((s, s.errors()?))).max_by(|a, b| of(a.0).total_cmp(&of(b.0)))
    }

    pub fn n_compared(&self) -> usize {
        self.steps.iter().filter(|s| s.outcome != Outcome::Absent).count()
    }
}

/// Holds each step against the reference's values of its name.
pub fn compare(trace: &Trace, reference: &Reference, tolerance: Tolerance) -> Comparison {
    let checks = match tolerance {
        Tolerance::Relative { .. } if reference.is_foreign => program_checks(trace, reference),
        _ => vec![None; trace.steps.len()],
    };
    let mut depths: Vec<usize> = Vec::with_capacity(trace.steps.len());
    let mut used = HashSet::new();
    let mut steps = Vec::with_capacity(trace.steps.len());
    for (step, program) in trace.steps.iter().zip(checks) {
        let depth = 1 + step.inputs.iter().map(|&i| depths[i]).max().unwrap_or(0);
        depths.push(depth);
        let their_name = reference.get(&step.name).map(|(name, _)| name.to_owned());
        used.extend(their_name.clone());
        let outcome = match reference.values(&step.name, step.shape(), trace.position()) {
            None => Outcome::Absent,
            Some(Err(shape)) => Outcome::Shape(shape),
            Some(Ok(theirs)) => judge(&step.values, &theirs, tolerance, depth),
        };
        let (name, shape) = (step.name.clone(), step.shape().clone());
        steps.push(StepComparison {
            name,
            their_name,
            origin: step.origin,
            shape,
            depth,
            tolerance: tolerance.at_depth(depth),
            outcome,
            program,
        });
    }
    let first_wrong = steps.iter().position(StepComparison::is_wrong);
    let unused = reference.tensors().map(|(name, _)| name).filter(|name| ![TOKENS, HISTORY].contains(name) && !used.contains(*name));
    let unused = unused.map(str::to_owned).collect();
    let nonfinite = trace.steps.iter().zip(&steps).filter(|(s, c)| c.agrees() && s.stats.first_nonfinite.is_some());
    let nonfinite = nonfinite.map(|(s, _)| s.name.clone()).collect();
    Comparison { ours: trace.backend.clone(), theirs: reference.name.clone(), tolerance, steps, first_wrong, unused, nonfinite }
}

fn judge(ours: &HostTensor, theirs: &HostTensor, tolerance: Tolerance, depth: usize) -> Outcome {
    let errors = measure(ours, theirs);
    if tolerance.admits(&errors, depth, ours.dtype.is_float(), ours.len()) { Outcome::Agrees(errors) } else { Outcome::Differs(errors) }
}

//! The program held against the reference alone: each step computed by the definition from the reference's own inputs must give what the
//! reference has there. No rounding of this run takes part, so that a program or a weight that differs a little is seen in any mode.

use std::sync::Arc;

use half::{bf16, f16};

use crate::graph::Op;
use crate::tensor::{DType, HostTensor};

use super::cut::Cut;
use super::measure::measure;
use super::record::Trace;
use super::reference_file::Reference;

/// How far the program's value of a step is from the reference's, both from the reference's inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgramCheck {
    /// Of the worst row, as `Errors::worst_row_rms`.
    pub error: f64,
    pub allowed: f64,
}

impl ProgramCheck {
    pub fn is_wrong(&self) -> bool {
        self.error > self.allowed
    }
}

/// What a reference computed in f32 errs: its angles alone are off by position · 2^-24.
const F32: f64 = 1e-4;
/// A few roundings to f16 (2^-11) and bf16 (2^-8).
const F16: f64 = 4.0 / 2048.0;
const BF16: f64 = 4.0 / 256.0;
/// A reference made with other kernels than exact ones errs about alike at every step: a step that is wrong stands out from the better
/// quarter. Of a llama's steps more than half read a weight, so that the median may err where all weights do.
const TIMES_QUARTILE: f64 = 8.0;
/// Multiplications and weights spent on one comparison: some seconds of the definition's plain loops, and 512 MB of weights in f64.
const BUDGET_MACS: f64 = 2e9;
const MAX_WEIGHT_LEN: usize = 64 << 20;

/// By step; `None` where the reference lacks it or its inputs, and where it would take too long.
pub(super) fn program_checks(trace: &Trace, reference: &Reference) -> Vec<Option<ProgramCheck>> {
    let theirs: Vec<Option<Arc<HostTensor>>> = (0..trace.steps.len()).map(|i| finite_values(trace, reference, i)).collect();
    let mut left = BUDGET_MACS;
    let mut checks: Vec<Option<ProgramCheck>> = Vec::with_capacity(theirs.len());
    for (step, target) in theirs.iter().enumerate() {
        let check = target.as_ref().and_then(|target| {
            let cut = Cut::from_values(trace, step, |i| theirs[i].clone()).filter(|cut| cut.weight_len() <= MAX_WEIGHT_LEN)?;
            left -= cut.macs();
            let error_of = |cut: &Cut| {
                let predicted = cut.evaluate().ok().filter(|p| p.len() == target.len())?;
                Some(measure(&predicted, target).worst_row_rms)
            };
            let allowed = precision(target).max(of_weights(&cut)) * n_steps(&cut).sqrt();
            let mut error = if left < 0.0 { None } else { error_of(&cut) }?;
            // The reference may have kept keys and values in the type of this run, or in f32.
            if let Some(wide) = cut.with_f32_caches().filter(|_| error > allowed) {
                error = error.min(error_of(&wide)?);
            }
            Some(ProgramCheck { error, allowed })
        });
        checks.push(check);
    }
    let mut errors: Vec<f64> = checks.iter().flatten().map(|c| c.error).collect();
    errors.sort_by(f64::total_cmp);
    let quartile = errors.get(errors.len() / 4).copied().unwrap_or(0.0);
    for check in checks.iter_mut().flatten() {
        check.allowed = check.allowed.max(TIMES_QUARTILE * quartile.min(BF16));
    }
    checks
}

/// The reference's values of a step, where they are numbers and fit.
pub(super) fn finite_values(trace: &Trace, reference: &Reference, step: usize) -> Option<Arc<HostTensor>> {
    let step = &trace.steps[step];
    let values = reference.values(&step.name, step.shape(), trace.position())?.ok()?;
    let is_finite = values.dtype.is_float() && (0..values.len()).all(|i| values.value(i).is_finite());
    is_finite.then(|| Arc::new(values))
}

/// What values err that are all numbers of a narrow type.
pub(super) fn precision(values: &HostTensor) -> f64 {
    let all = |round: fn(f64) -> f64| (0..values.len()).all(|i| round(values.value(i)) == values.value(i));
    match values.dtype {
        DType::BF16 => BF16,
        DType::F16 => F16,
        _ if all(|v| bf16::from_f64(v).to_f64()) => BF16,
        _ if all(|v| f16::from_f64(v).to_f64()) => F16,
        _ => F32,
    }
}

/// What the reference may have rounded otherwise: a file in f16 or in blocks was made from more bits than it has.
fn of_weights(cut: &Cut) -> f64 {
    let of = |dtype: DType| match dtype {
        DType::F16 => F16 / 4.0,
        DType::BF16 => BF16 / 4.0,
        DType::Quant(_) => 2e-2,
        _ => 0.0,
    };
    cut.nodes.iter().filter_map(|n| if let Op::Weight(w) = &n.op { Some(of(w.dtype)) } else { None }).fold(0.0, f64::max)
}

/// The steps that a piece goes through.
fn n_steps(cut: &Cut) -> f64 {
    cut.nodes.iter().filter(|n| n.label.is_some() && !matches!(n.op, Op::Input(_))).count().max(1) as f64
}

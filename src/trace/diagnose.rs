//! Which step is to blame, and why.
//!
//! Three questions are asked in turn, each by numbers. Does the program give what the reference has, from the reference's own inputs
//! (`consistency`)? Where it does not, the program, its weights or its metadata are not the reference's, and no rounding of this run takes
//! part in saying why. Does the backend give what the definition gives, from the step's own traced inputs? Where it does not, the backend is
//! wrong there, however small the error. Where both hold, errors grow, or the cache's type loses what it is given.

use std::collections::BTreeSet;

use crate::graph::Origin;
use crate::tensor::HostTensor;

use super::blame::{blame_backend, blame_program, blame_unchecked, evidence, other_values};
use super::compare::{Comparison, Outcome, Tolerance};
use super::cut::Cut;
use super::measure::measure;
use super::reason::{Reason, ReasonKind};
use super::record::Trace;
use super::reference_file::Reference;
use super::verdict::Verdict;
use super::{cache_type, pattern, shapes};

/// The step to blame and the likely reasons, the likeliest first.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// By index in `Trace::steps`.
    pub step: usize,
    /// The step's name, or that of one that the reference has before it and the program does not.
    pub name: String,
    pub origin: Origin,
    pub verdict: Verdict,
    /// Error against the definition on the step's own traced inputs; `None` where they were not traced whole.
    pub local_error: Option<f64>,
    /// Whether the backend, not the program, is wrong; `None` where that cannot be told.
    pub backend_is_wrong: Option<bool>,
    /// Steps without a reference between the last that agree and the first that does not, in order.
    pub unknown: Vec<usize>,
    pub reasons: Vec<Reason>,
}

/// How many steps before the first wrong one are checked alone.
const MAX_CHECKED: usize = 64;
/// Chains that a step checked alone may be long: several ops may make up one step.
const LOCAL_DEPTH: usize = 9;

/// Blames a step of a comparison that does not agree; `None` for one that does.
pub fn diagnose(trace: &Trace, reference: &Reference, comparison: &Comparison) -> Option<Diagnosis> {
    let first = comparison.first_wrong?;
    let region = region(trace, comparison, first);
    let mut diagnosis = Diagnosis {
        step: first,
        name: trace.steps[first].name.clone(),
        origin: trace.steps[first].origin,
        verdict: Verdict::Unknown,
        local_error: None,
        backend_is_wrong: None,
        unknown: region.iter().copied().filter(|&i| i != first).collect(),
        reasons: Vec::new(),
    };
    let tokens = other_tokens(trace, reference);
    diagnosis.reasons.extend(tokens.clone());
    if matches!(comparison.steps[first].outcome, Outcome::Shape(_)) {
        let (_, theirs) = reference.get(&trace.steps[first].name)?;
        let (verdict, reasons) = shapes::explained(&diagnosis.name, &trace.steps[first].values, theirs, comparison.steps[first].tolerance);
        diagnosis.verdict = if tokens.is_some() { Verdict::Tokens } else { verdict };
        diagnosis.reasons.extend(reasons);
        return Some(diagnosis);
    }
    let theirs = reference.values(&trace.steps[first].name, trace.steps[first].shape(), trace.position())?.ok()?;
    if comparison.tolerance == Tolerance::Bits {
        let others = other_values(trace, reference, first);
        let evidence = evidence(trace, &others, first, &trace.steps[first].values, &theirs, 0.0);
        diagnosis.reasons.extend(pattern::reasons(&evidence));
        return Some(diagnosis);
    }
    if let Some(reason) = broken_reference(trace, first, &theirs) {
        (diagnosis.verdict, diagnosis.local_error) = (Verdict::Reference, local_error(trace, first));
        diagnosis.reasons.insert(0, reason);
        return Some(diagnosis);
    }
    if comparison.steps[first].program_is_wrong() {
        blame_program(&mut diagnosis, trace, reference, comparison, first);
    } else {
        blame_run(&mut diagnosis, trace, reference, comparison, (&region, &theirs));
    }
    if tokens.is_some() {
        diagnosis.verdict = Verdict::Tokens;
    }
    Some(diagnosis)
}

/// What is to blame where the program is not known to be wrong at the first step that differs.
fn blame_run(
    diagnosis: &mut Diagnosis,
    trace: &Trace,
    reference: &Reference,
    comparison: &Comparison,
    (region, theirs): (&BTreeSet<usize>, &HostTensor),
) {
    let first = diagnosis.step;
    let cache = region.iter().chain([&first]).find_map(|&i| {
        let theirs = reference.values(&trace.steps[i].name, trace.steps[i].shape(), trace.position())?.ok()?;
        Some((i, cache_type::explained(trace, i, &theirs, comparison.steps[i].tolerance)?))
    });
    if let Some((step, reason)) = cache {
        // What the cache loses hides no fault of the program, which is looked for without this run's rounding.
        if let Some(wrong) = comparison.steps.iter().position(|s| s.program_is_wrong()) {
            diagnosis.unknown.clear();
            blame_program(diagnosis, trace, reference, comparison, wrong);
            diagnosis.reasons.push(reason);
            return;
        }
        (diagnosis.step, diagnosis.verdict, diagnosis.backend_is_wrong) = (step, Verdict::Setting, Some(false));
        (diagnosis.name, diagnosis.origin) = (trace.steps[step].name.clone(), trace.steps[step].origin);
        diagnosis.local_error = local_error(trace, step);
        diagnosis.reasons.push(reason);
        return;
    }
    let local_tolerance = comparison.tolerance.at_depth(LOCAL_DEPTH);
    // Steps that agree may hide an error that grows: after the region, those before it, in order.
    let earlier = first.saturating_sub(MAX_CHECKED)..first;
    let checked = region.iter().copied().chain(earlier.filter(|i| !region.contains(i)));
    let mut all_known = true;
    for i in checked {
        match local(trace, i) {
            Some((error, exact)) if error > local_tolerance => {
                return blame_backend(diagnosis, trace, reference, (i, error, exact), local_tolerance);
            }
            Some(_) => {}
            None => all_known &= !region.contains(&i),
        }
    }
    diagnosis.local_error = local_error(trace, first);
    diagnosis.backend_is_wrong = all_known.then_some(false);
    // A program that was checked at every step up to here, or that made the reference itself, is right: errors grow. A fault that comes later
    // is a fault still.
    let is_checked =
        comparison.steps[first].program.is_some() && region.iter().all(|&i| i == first || comparison.steps[i].outcome == Outcome::Absent);
    if let Some(later) = comparison.steps.iter().position(|s| s.program_is_wrong()).filter(|_| is_checked && all_known) {
        diagnosis.unknown.clear();
        return blame_program(diagnosis, trace, reference, comparison, later);
    }
    let values = |t: &HostTensor| (0..t.len()).map(|i| t.value(i)).collect::<Vec<f64>>();
    if let Some(reason) = pattern::reference_rounded(&values(&trace.steps[first].values), &values(theirs)).filter(|_| all_known) {
        diagnosis.verdict = Verdict::Reference;
        diagnosis.reasons.push(reason);
        return;
    }
    let (error, tolerance) = (measure(&trace.steps[first].values, theirs).worst_row_rms, comparison.steps[first].tolerance);
    if let Some(check) = comparison.steps[first].program.filter(|check| is_checked && all_known && check.error > tolerance) {
        return blame_small(diagnosis, trace, reference, comparison, (check.error, tolerance));
    }
    if all_known && (is_checked || !reference.is_foreign) && error.is_finite() {
        diagnosis.verdict = Verdict::Accumulated;
        let why = if is_checked {
            "and each gives the reference's values from the reference's inputs"
        } else {
            "and the reference runs the same program"
        };
        let text = format!(
            "no step alone is wrong: the backend computes each as the program says, {why}; errors grow from step to step and pass the bound here \
             ({error:.1e}, bound {tolerance:.1e})"
        );
        diagnosis.reasons.push(Reason::new(ReasonKind::Accumulated, text));
        return;
    }
    blame_unchecked(diagnosis, trace, reference, comparison, (theirs, all_known));
}

/// The program gives other values than the reference from the reference's inputs, by less than a reference in f32 may err: nothing grew here.
fn blame_small(diagnosis: &mut Diagnosis, trace: &Trace, reference: &Reference, comparison: &Comparison, (error, tolerance): (f64, f64)) {
    let n_before = diagnosis.reasons.len();
    blame_program(diagnosis, trace, reference, comparison, diagnosis.step);
    if diagnosis.reasons.len() > n_before + 1 {
        return;
    }
    diagnosis.verdict = Verdict::Unknown;
    diagnosis.backend_is_wrong = Some(false);
    let text = format!(
        "from the reference's own inputs the program gives other values, by {error:.1e} where {tolerance:.1e} is allowed: a weight or a number of \
         the file differs a little, or the reference was made in fewer bits"
    );
    diagnosis.reasons.insert(n_before, Reason::new(ReasonKind::Program, text));
}

/// Error of a step against the definition on its own traced inputs, and the exact values: what a table shows as the error made *by* a step.
/// `None` where the inputs were not traced whole.
pub fn local_error(trace: &Trace, step: usize) -> Option<f64> {
    local(trace, step).map(|(error, _)| error)
}

pub(super) fn local(trace: &Trace, step: usize) -> Option<(f64, HostTensor)> {
    let exact = Cut::of(trace, step, |_| true)?.evaluate().ok()?;
    let ours = &trace.steps[step].values;
    (exact.len() == ours.len()).then(|| (measure(ours, &exact).worst_row_rms, exact))
}

/// The first wrong step and those without a reference that lead to it from steps that agree.
fn region(trace: &Trace, comparison: &Comparison, first: usize) -> BTreeSet<usize> {
    let mut region = BTreeSet::from([first]);
    let mut stack = vec![first];
    while let Some(step) = stack.pop() {
        for &input in &trace.steps[step].inputs {
            if comparison.steps[input].outcome == Outcome::Absent && region.insert(input) {
                stack.push(input);
            }
        }
    }
    region
}

/// NaN or infinity in the reference where this run has numbers: nothing that is computed here can agree with it.
fn broken_reference(trace: &Trace, step: usize, theirs: &HostTensor) -> Option<Reason> {
    let ours = &trace.steps[step].values;
    let broken: Vec<usize> = (0..theirs.len()).filter(|&i| !theirs.value(i).is_finite() && ours.value(i).is_finite()).collect();
    let &first = broken.first()?;
    let width = theirs.len() / theirs.shape.dims().first().copied().unwrap_or(1).max(1);
    let n_nan = broken.iter().filter(|&&i| theirs.value(i).is_nan()).count();
    let text = format!(
        "the reference is broken: it holds {n_nan} NaN and {} inf here, the first at row {}, column {}, where this run has numbers; make it again, \
         with a wider type if it was made in f16",
        broken.len() - n_nan,
        first / width.max(1),
        first % width.max(1)
    );
    Some(Reason::new(ReasonKind::Reference, text))
}

/// Whether the reference was made with the tokens that were fed here.
fn other_tokens(trace: &Trace, reference: &Reference) -> Option<Reason> {
    let ours: Vec<i32> = trace.history.iter().copied().chain(trace.token_ids()?).collect();
    let theirs: Vec<i32> = reference.history().iter().chain(reference.token_ids()?).copied().collect();
    // A reference of decoded tokens alone does not say what came before them.
    let ours = if reference.history().is_empty() && theirs.len() == trace.args.n_tokens() {
        &ours[trace.position().min(ours.len())..]
    } else {
        &ours
    };
    let at = ours.iter().zip(&theirs).position(|(a, b)| a != b)?;
    let is_part = |whole: &[i32], part: &[i32]| {
        (1..=2).find(|&k| whole.get(k..).is_some_and(|rest| rest.starts_with(part) || part.starts_with(rest)))
    };
    let shifted = match (is_part(&theirs, ours), is_part(ours, &theirs)) {
        (Some(k), _) => format!("; the reference has {k} more in front, perhaps a BOS"),
        (None, Some(k)) => format!("; here are {k} more in front, perhaps a BOS"),
        (None, None) => String::new(),
    };
    let text = format!("other tokens were fed: at position {at} {} here and {} in the reference{shifted}", ours[at], theirs[at]);
    Some(Reason::new(ReasonKind::Tokens, text))
}

//! Which step is to blame, and why.
//!
//! Every step that agrees with its reference is taken as given. Each step between those and the first wrong one is computed by the
//! definition from its own traced inputs: where that differs from what the backend gave, the backend is wrong there, however small the
//! error. Where it never does, the backend does what the program says, and the program or its weights are not the reference's.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Op, Origin};
use crate::tensor::{DType, HostTensor};

use super::compare::{Comparison, Outcome, Tolerance};
use super::cut::Cut;
use super::hypothesis::{self, Others, Side};
use super::measure::measure;
use super::pattern::{self, Evidence};
use super::reason::{Reason, ReasonKind};
use super::record::{Trace, op_name};
use super::reference_file::Reference;

/// The step to blame and the likely reasons, the likeliest first.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// By index in `Trace::steps`.
    pub step: usize,
    pub name: String,
    pub origin: Origin,
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
/// Multiplications spent on telling a format from a weight.
const BUDGET_MACS: f64 = 3e9;

/// Blames a step of a comparison that does not agree; `None` for one that does.
pub fn diagnose(trace: &Trace, reference: &Reference, comparison: &Comparison) -> Option<Diagnosis> {
    let first = comparison.first_wrong?;
    let region = region(trace, comparison, first);
    let mut diagnosis = Diagnosis {
        step: first,
        name: trace.steps[first].name.clone(),
        origin: trace.steps[first].origin,
        local_error: None,
        backend_is_wrong: None,
        unknown: region.iter().copied().filter(|&i| i != first).collect(),
        reasons: Vec::new(),
    };
    if let Outcome::Shape(theirs) = &comparison.steps[first].outcome {
        let text = format!("the shapes differ: {} here, {theirs} in the reference", trace.steps[first].shape());
        diagnosis.reasons.push(Reason::new(ReasonKind::Where, text));
        return Some(diagnosis);
    }
    let theirs = reference.values(&trace.steps[first].name, trace.steps[first].shape(), trace.position())?.ok()?;
    if comparison.tolerance == Tolerance::Bits {
        let others = other_values(trace, reference, first);
        let evidence = evidence(trace, &others, first, &theirs, 0.0);
        diagnosis.reasons = pattern::reasons(&evidence);
        return Some(diagnosis);
    }

    let local_tolerance = comparison.tolerance.at_depth(LOCAL_DEPTH);
    // Steps that agree may hide an error that grows: after the region, those before it, in order.
    let earlier = first.saturating_sub(MAX_CHECKED)..first;
    let mut checked = region.iter().copied().chain(earlier.filter(|i| !region.contains(i)));
    let mut all_known = true;
    let wrong = checked.by_ref().find_map(|i| match local(trace, i) {
        Some((error, exact)) if error > local_tolerance => Some((i, error, exact)),
        Some(_) => None,
        None => {
            all_known &= !region.contains(&i);
            None
        }
    });
    diagnosis.reasons.extend(other_tokens(trace, reference));
    match wrong {
        Some((step, error, exact)) => blame_backend(&mut diagnosis, trace, reference, (step, error, exact), local_tolerance),
        None => blame_program(&mut diagnosis, trace, reference, comparison, &theirs, all_known),
    }
    Some(diagnosis)
}

/// Error of a step against the definition on its own traced inputs, and the exact values: what a table shows as the error made *by* a step.
/// `None` where the inputs were not traced whole.
pub fn local_error(trace: &Trace, step: usize) -> Option<f64> {
    local(trace, step).map(|(error, _)| error)
}

fn local(trace: &Trace, step: usize) -> Option<(f64, HostTensor)> {
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

fn blame_backend(
    diagnosis: &mut Diagnosis,
    trace: &Trace,
    reference: &Reference,
    (step, error, exact): (usize, f64, HostTensor),
    tolerance: f64,
) {
    let Some(cut) = Cut::of(trace, step, |_| true) else { return };
    (diagnosis.step, diagnosis.local_error, diagnosis.backend_is_wrong) = (step, Some(error), Some(true));
    (diagnosis.name, diagnosis.origin) = (trace.steps[step].name.clone(), trace.steps[step].origin);
    let ours = &trace.steps[step].values;
    let others = other_values(trace, reference, step);
    let evidence = evidence(trace, &others, step, &exact, tolerance / 3.0);
    let hypotheses = hypothesis::reasons(&cut, &Others::around(trace, step), Side::Ours, ours, &exact, tolerance / 3.0);
    diagnosis.reasons.extend(in_order(pattern::reasons(&evidence), hypotheses));
    diagnosis.reasons.extend(weight_format(trace, step, &cut, tolerance));
    let text =
        format!("the backend is wrong here: from the same inputs the definition gives other values; the step is {}", described(&cut));
    diagnosis.reasons.push(Reason::new(ReasonKind::Backend, text));
}

fn blame_program(
    diagnosis: &mut Diagnosis,
    trace: &Trace,
    reference: &Reference,
    comparison: &Comparison,
    theirs: &HostTensor,
    all_known: bool,
) {
    let step = diagnosis.step;
    let ours = &trace.steps[step].values;
    let tolerance = comparison.steps[step].tolerance;
    diagnosis.local_error = local_error(trace, step);
    diagnosis.backend_is_wrong = all_known.then_some(false);
    let error = measure(ours, theirs).worst_row_rms;
    if error < 4.0 * tolerance && grew(trace, comparison, step) {
        let text =
            format!("no step alone is wrong: errors grow from step to step and pass the bound here ({error:.1e}, bound {tolerance:.1e})");
        diagnosis.reasons.push(Reason::new(ReasonKind::Accumulated, text));
    }
    let given = |i: usize| comparison.steps[i].agrees();
    let cut = Cut::of(trace, step, given);
    let others = Others::around(trace, step).with_unused(trace, step, reference, &comparison.unused);
    let hypotheses = cut.as_ref().map(|cut| hypothesis::reasons(cut, &others, Side::Theirs, theirs, ours, tolerance));
    let others = other_values(trace, reference, step);
    let evidence = evidence(trace, &others, step, theirs, tolerance);
    diagnosis.reasons.extend(in_order(pattern::reasons(&evidence), hypotheses.unwrap_or_default()));
    let what = cut.as_ref().map(described).unwrap_or_else(|| "of inputs that were not traced whole".to_owned());
    let text = match all_known {
        true => format!(
            "the backend does what the program says: program, weights or inputs are not the reference's; what lies between is {what}"
        ),
        false => format!("inputs agree as far as they are known; what lies between is {what}"),
    };
    diagnosis.reasons.push(Reason::new(ReasonKind::Program, text));
}

/// Whether the reference was made with the tokens that were fed here.
fn other_tokens(trace: &Trace, reference: &Reference) -> Option<Reason> {
    let ours: Vec<i32> = trace.history.iter().copied().chain(trace.token_ids()?).collect();
    let theirs: Vec<i32> = reference.history().iter().chain(reference.token_ids()?).copied().collect();
    // A reference of decoded tokens alone does not say what came before them.
    let ours = if reference.history().is_empty() && theirs.len() == trace.args.n_tokens {
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

/// Whether what the step reads is already a good part of the way to its bound.
fn grew(trace: &Trace, comparison: &Comparison, step: usize) -> bool {
    let near = |&i: &usize| {
        let input = &comparison.steps[i];
        input.errors().is_some_and(|e| e.worst_row_rms > 0.25 * input.tolerance)
    };
    trace.steps[step].inputs.iter().any(near)
}

/// Patterns that are certain when seen, then hypotheses, then what they say better: equal values of another step, and where or how large
/// the errors are.
fn in_order(patterns: Vec<Reason>, hypotheses: Vec<Reason>) -> Vec<Reason> {
    let by_rank = |wanted: u8| {
        let rank = |r: &&Reason| match r.kind {
            ReasonKind::Swapped | ReasonKind::Function => 1,
            ReasonKind::Where | ReasonKind::F16Arithmetic => 2,
            _ => 0,
        };
        patterns.iter().filter(move |r| rank(r) == wanted).cloned()
    };
    by_rank(0).chain(hypotheses).chain(by_rank(1)).chain(by_rank(2)).collect()
}

/// The reference's values of other steps, where they fit this one's shape.
fn other_values<'a>(trace: &Trace, reference: &'a Reference, step: usize) -> Vec<(&'a str, HostTensor)> {
    let this = &trace.steps[step];
    let their_name = reference.get(&this.name).map_or("", |(name, _)| name);
    reference.others_like(their_name, this.shape(), trace.position())
}

fn evidence<'a>(trace: &'a Trace, others: &'a [(&str, HostTensor)], step: usize, theirs: &HostTensor, tolerance: f64) -> Evidence<'a> {
    let this = &trace.steps[step];
    let inputs = || this.inputs.iter().map(|&i| &trace.steps[i].stats);
    let nodes = || trace.graph.nodes().map(|(_, node)| node);
    let head_dims: BTreeSet<usize> =
        nodes().filter(|n| matches!(n.op, Op::Rope { .. } | Op::Attention { .. })).map(|n| n.shape.last_dim()).collect();
    Evidence {
        head_dims: head_dims.into_iter().collect(),
        our_steps: trace.steps[..step].iter().map(|s| (s.name.as_str(), &*s.values)).collect(),
        their_steps: others.iter().map(|(name, values)| (*name, values)).collect(),
        inputs_finite: inputs().all(|s| s.first_nonfinite.is_none()),
        inputs_max: inputs().map(|s| s.max.abs().max(s.min.abs())).fold(0.0, f64::max),
        is_attention: Cut::of(trace, step, |_| true)
            .is_some_and(|c| c.nodes.iter().any(|n| matches!(n.op, Op::Attention { .. } | Op::Softmax { .. }))),
        ..Evidence::new(&this.values, theirs, tolerance)
    }
}

/// The ops of a piece and the weights they read.
fn described(cut: &Cut) -> String {
    let mut parts = Vec::new();
    for node in &cut.nodes {
        if matches!(node.op, Op::Input(_) | Op::Weight(_) | Op::Scalar(_) | Op::RopeRows { .. } | Op::CacheAppend { .. } | Op::Reshape) {
            continue;
        }
        let weights: Vec<String> = node
            .inputs
            .iter()
            .filter_map(|&i| match &cut.node(i).op {
                Op::Weight(w) => Some(format!("{} ({})", w.name, w.dtype)),
                _ => None,
            })
            .collect();
        let with = if weights.is_empty() { String::new() } else { format!(" of {}", weights.join(", ")) };
        parts.push(format!("{}{with}", op_name(&node.op)));
    }
    let n = parts.len();
    parts.truncate(6);
    if n > 6 {
        parts.push(format!("… {} more", n - 6));
    }
    parts.join(", ")
}

/// The block format of the only weight of a piece.
fn quant_weight(cut: &Cut) -> Option<(String, &'static str)> {
    let mut weights = cut.nodes.iter().filter_map(|n| match &n.op {
        Op::Weight(w) if matches!(w.dtype, DType::Quant(_)) => Some((w.name.clone(), w.dtype.name())),
        _ => None,
    });
    weights.next().filter(|_| weights.next().is_none())
}

/// Whether the other steps that read this weight's format are wrong, too.
fn weight_format(trace: &Trace, step: usize, cut: &Cut, tolerance: f64) -> Option<Reason> {
    let (name, format) = quant_weight(cut)?;
    let mut left = BUDGET_MACS;
    // By format: steps that are wrong, steps that were checked.
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for i in (0..trace.steps.len()).filter(|&i| i != step) {
        let Some((_, format)) = Cut::of(trace, i, |_| true)
            .filter(|c| {
                left -= c.macs();
                left > 0.0
            })
            .as_ref()
            .and_then(quant_weight)
        else {
            continue;
        };
        if let Some((error, _)) = local(trace, i) {
            let count = counts.entry(format).or_default();
            count.0 += usize::from(error > tolerance);
            count.1 += 1;
        }
    }
    let (wrong, all) = counts.get(format).copied().unwrap_or_default();
    let (others_wrong, others) = counts.iter().filter(|(f, _)| **f != format).fold((0, 0), |a, (_, c)| (a.0 + c.0, a.1 + c.1));
    if wrong == all && others_wrong == 0 && others > 0 {
        let text = format!(
            "the decoding of {format} is the likely culprit: all {} steps that read it are wrong, the {others} that read other formats are right",
            all + 1
        );
        return Some(Reason::new(ReasonKind::WeightFormat, text));
    }
    (wrong == 0 && all > 0).then(|| {
        let text = format!(
            "the bytes of {name} are the likely culprit, not the decoding of {format}: the {all} other steps that read the format are right"
        );
        Reason::new(ReasonKind::Weight, text)
    })
}

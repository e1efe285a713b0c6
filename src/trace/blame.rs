//! The reasons for a step that is to blame: formulas, edits of the graph and patterns of the values, each held against the numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::graph::{Literal, Op, ScalarSource};
use crate::tensor::HostTensor;

use super::compare::Comparison;
use super::consistency::finite_values;
use super::cut::Cut;
use super::describe::{described, weight_format};
use super::diagnose::{Diagnosis, local_error};
use super::formula::{Context, Known, Target, told};
use super::hypothesis::{self, Others, Side};
use super::names::{StepName, canonical, is_before};
use super::pattern::{self, Evidence};
use super::reason::{Reason, ReasonKind};
use super::record::Trace;
use super::reference_file::Reference;
use super::verdict::Verdict;
use super::{cache_type, missing};

/// Steps without values of the reference that are looked at before the one to blame.
const MAX_BETWEEN: usize = 16;

/// The definition gives other values than the backend from the step's own inputs.
pub(super) fn blame_backend(
    diagnosis: &mut Diagnosis,
    trace: &Trace,
    reference: &Reference,
    (step, error, exact): (usize, f64, HostTensor),
    tolerance: f64,
) {
    let Some(cut) = Cut::of(trace, step, |_| true) else { return };
    (diagnosis.step, diagnosis.local_error, diagnosis.backend_is_wrong) = (step, Some(error), Some(true));
    (diagnosis.name, diagnosis.origin) = (trace.steps[step].name.clone(), trace.steps[step].origin);
    diagnosis.verdict = Verdict::Backend;
    let ours = &trace.steps[step].values;
    let others = other_values(trace, reference, step);
    let evidence = evidence(trace, &others, step, ours, &exact, tolerance / 3.0);
    let hypotheses = hypothesis::reasons(&cut, &Others::around(trace, step), Side::Ours, ours, &exact, tolerance / 3.0);
    diagnosis.reasons.extend(in_order(pattern::reasons(&evidence), hypotheses));
    diagnosis.reasons.extend(weight_format(trace, step, &cut, tolerance));
    let text =
        format!("the backend is wrong here: from the same inputs the definition gives other values; the step is {}", described(&cut));
    diagnosis.reasons.push(Reason::new(ReasonKind::Backend, text));
}

/// The program gives other values than the reference has, both from the reference's inputs.
pub(super) fn blame_program(diagnosis: &mut Diagnosis, trace: &Trace, reference: &Reference, comparison: &Comparison, step: usize) {
    (diagnosis.step, diagnosis.name, diagnosis.origin) = (step, trace.steps[step].name.clone(), trace.steps[step].origin);
    (diagnosis.verdict, diagnosis.backend_is_wrong) = (Verdict::Program, Some(false));
    diagnosis.local_error = local_error(trace, step);
    let theirs_of = |i: usize| finite_values(trace, reference, i);
    let (Some(theirs), Some(cut)) = (theirs_of(step), Cut::from_values(trace, step, theirs_of)) else { return };
    let cut = cut.with_f32_caches().unwrap_or(cut);
    let Some(predicted) = cut.evaluate().ok().filter(|p| p.len() == theirs.len()) else { return };
    let error = comparison.steps[step].program.map_or(0.0, |c| c.error);
    let allowed = comparison.steps[step].program.map_or(1e-4, |c| c.allowed);
    // What an explanation may leave: what the reference's own precision leaves, and little of the error.
    let slack = (2.0 * allowed).min(0.05 * error).max(1e-6);
    // What may remain of rounding, and is little beside a small error.
    let rounding = (allowed / 20.0).min(error / 50.0);
    let context = context(trace, reference, comparison, step);
    let missing = missing::before(trace, step, (reference, &comparison.unused), &cut, &theirs, &context, slack);
    let values = |t: &HostTensor| (0..t.len()).map(|i| t.value(i)).collect::<Vec<f64>>();
    let (their_values, our_values) = (values(&theirs), values(&predicted));
    let shape = trace.steps[step].shape();
    let target = |values| Target { values, shape, slack };
    let others = Others::around(trace, step).of_reference(trace, step, reference).with_unused(trace, step, reference, &comparison.unused);
    let mut found = hypothesis::reasons(&cut, &others, Side::Theirs, &theirs, &predicted, rounding);
    found.extend(told(&target(&their_values), &target(&our_values), &context));
    found.splice(0..0, cache_type::too_short(&cut, &theirs, slack));
    if let Some(missing) = missing {
        diagnosis.name = missing.name;
        found.splice(0..0, missing.reasons);
    }
    let other_values = other_values(trace, reference, step);
    let earlier: Vec<(&str, Arc<HostTensor>)> = (0..step).filter_map(|i| Some((trace.steps[i].name.as_str(), theirs_of(i)?))).collect();
    // Steps that the reference lacks have the values that the program gives from its inputs.
    let between = (0..step).rev().filter(|&i| trace.steps[i].shape() == shape && theirs_of(i).is_none()).take(MAX_BETWEEN);
    let between: Vec<(&str, HostTensor)> =
        between.filter_map(|i| Some((trace.steps[i].name.as_str(), Cut::from_values(trace, i, theirs_of)?.evaluate().ok()?))).collect();
    let steps = earlier.iter().map(|(name, values)| (*name, &**values));
    let evidence = Evidence {
        our_steps: steps.chain(between.iter().map(|(name, values)| (*name, values))).collect(),
        ..evidence(trace, &other_values, step, &predicted, &theirs, rounding)
    };
    diagnosis.reasons.extend(in_order(pattern::reasons(&evidence), found));
    let text = format!(
        "the backend does what the program says: program, weights or inputs are not the reference's; what lies between is {}",
        described(&cut)
    );
    diagnosis.reasons.push(Reason::new(ReasonKind::Program, text));
}

/// A step whose inputs the reference does not have: the program is explained from this run's own values.
pub(super) fn blame_unchecked(
    diagnosis: &mut Diagnosis,
    trace: &Trace,
    reference: &Reference,
    comparison: &Comparison,
    (theirs, all_known): (&HostTensor, bool),
) {
    let step = diagnosis.step;
    let ours = &trace.steps[step].values;
    let tolerance = comparison.steps[step].tolerance;
    diagnosis.verdict = if all_known { Verdict::Program } else { Verdict::Unknown };
    let given = |i: usize| comparison.steps[i].agrees();
    let cut = Cut::of(trace, step, given);
    let others = Others::around(trace, step).with_unused(trace, step, reference, &comparison.unused);
    let hypotheses = cut.as_ref().map(|cut| hypothesis::reasons(cut, &others, Side::Theirs, theirs, ours, tolerance));
    let others = other_values(trace, reference, step);
    let evidence = evidence(trace, &others, step, ours, theirs, tolerance);
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

/// What formulas for a step may be made of: the reference's values of the steps before it, its own inputs first.
fn context<'a>(trace: &'a Trace, reference: &Reference, comparison: &Comparison, step: usize) -> Context<'a> {
    let own = &trace.steps[step];
    let comes_before =
        |name: &str, in_trace: bool| canonical(name) != canonical(&own.name) && is_before(name, &own.name).unwrap_or(in_trace);
    let mut order: Vec<usize> = own.inputs.clone();
    let mut rest: Vec<usize> = (0..trace.steps.len()).filter(|i| *i != step && !own.inputs.contains(i)).collect();
    rest.sort_by_key(|&i| i.abs_diff(step));
    order.extend(rest);
    let known = |name: &str, values: &HostTensor| Known {
        name: canonical(name),
        shape: values.shape.clone(),
        values: (0..values.len()).map(|i| values.value(i)).collect(),
    };
    let mut all: Vec<Known> = Vec::new();
    for i in order {
        let name = &trace.steps[i].name;
        if comes_before(name, i < step)
            && let Some(values) = finite_values(trace, reference, i)
        {
            all.push(known(name, &values));
        }
    }
    for name in comparison.unused.iter().filter(|name| comes_before(name, false)) {
        if let Some((_, values)) = reference.get(name)
            && values.dtype.is_float()
        {
            all.push(known(name, values));
        }
    }
    let nodes = || trace.graph.nodes().map(|(_, node)| node);
    let literal = |id: crate::graph::NodeId| match trace.graph.node(id).op {
        Op::Scalar(ScalarSource::Literal { index, .. }) => match trace.args.literals.get(index as usize) {
            Some(Literal::F32(v)) => Some(f64::from(*v)),
            _ => None,
        },
        _ => None,
    };
    let mut eps: Vec<f64> = nodes().filter(|n| n.op == Op::RmsNorm).filter_map(|n| literal(*n.inputs.get(2)?)).collect();
    eps.dedup();
    eps.truncate(2);
    let own_layer = StepName::parse(&own.name).layer_idx;
    let mut weights = Others::around(trace, step).weights;
    weights.sort_by_key(|w| StepName::parse(&w.name).layer_idx != own_layer);
    Context {
        step: own.name.clone(),
        known: all,
        weights,
        head_dims: head_dims(trace),
        eps,
        ids: trace.token_ids(),
        cache: trace.caches.first(),
        position: trace.position(),
    }
}

/// Sizes that a head may have, where the graph rotates or attends, or has a step of three dimensions.
fn head_dims(trace: &Trace) -> Vec<usize> {
    let nodes = || trace.graph.nodes().map(|(_, node)| node);
    let of_ops = nodes().filter(|n| matches!(n.op, Op::Rope { .. } | Op::Attention { .. })).map(|n| n.shape.last_dim());
    let mut found: Vec<usize> = of_ops.collect::<BTreeSet<usize>>().into_iter().collect();
    for step in trace.steps.iter().filter(|s| s.shape().rank() == 3) {
        if !found.contains(&step.shape().last_dim()) && found.len() < 3 {
            found.push(step.shape().last_dim());
        }
    }
    found
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
pub(super) fn other_values<'a>(trace: &Trace, reference: &'a Reference, step: usize) -> Vec<(&'a str, HostTensor)> {
    let this = &trace.steps[step];
    let their_name = reference.get(&this.name).map_or("", |(name, _)| name);
    reference.others_like(their_name, this.shape(), trace.position())
}

pub(super) fn evidence<'a>(
    trace: &'a Trace,
    others: &'a [(&str, HostTensor)],
    step: usize,
    ours: &'a HostTensor,
    theirs: &HostTensor,
    tolerance: f64,
) -> Evidence<'a> {
    let this = &trace.steps[step];
    let inputs = || this.inputs.iter().map(|&i| &trace.steps[i].stats);
    Evidence {
        head_dims: head_dims(trace),
        our_steps: trace.steps[..step].iter().map(|s| (s.name.as_str(), &*s.values)).collect(),
        their_steps: others.iter().map(|(name, values)| (*name, values)).collect(),
        inputs_finite: inputs().all(|s| s.first_nonfinite.is_none()),
        inputs_max: inputs().map(|s| s.max.abs().max(s.min.abs())).fold(0.0, f64::max),
        is_attention: Cut::of(trace, step, |_| true)
            .is_some_and(|c| c.nodes.iter().any(|n| matches!(n.op, Op::Attention { .. } | Op::Softmax { .. }))),
        ..Evidence::new(ours, theirs, tolerance)
    }
}

//! Steps that the reference has and the program does not: what the next step reads in their place is the fault, not that step.

use std::sync::Arc;

use crate::graph::{Binding, Op};
use crate::tensor::HostTensor;

use super::cut::Cut;
use super::formula::{Context, Target, left_out_of};
use super::names::{StepName, canonical, is_before};
use super::pattern::relative;
use super::reason::{Reason, ReasonKind};
use super::record::Trace;
use super::reference_file::Reference;

/// More would be another model.
const MAX_TRIED: usize = 12;

/// A step of the reference that is missing before a step, and what is said of it.
pub(super) struct Missing {
    pub name: String,
    pub reasons: Vec<Reason>,
}

struct Candidate {
    name: String,
    values: Arc<HostTensor>,
}

/// What the piece reads in the place of which missing step: one, or two at once as keys and queries are.
pub(super) fn before(
    trace: &Trace,
    step: usize,
    (reference, unused): (&Reference, &[String]),
    cut: &Cut,
    theirs: &HostTensor,
    context: &Context<'_>,
    slack: f64,
) -> Option<Missing> {
    let own = &trace.steps[step].name;
    let candidates = candidates(own, reference, unused, trace);
    if candidates.is_empty() {
        return None;
    }
    let inputs: Vec<usize> =
        (0..cut.nodes.len()).filter(|&at| matches!(cut.nodes[at].op, Op::Input(_)) && cut.nodes[at].label.is_some()).collect();
    let values = |t: &HostTensor| (0..t.len()).map(|i| t.value(i)).collect::<Vec<f64>>();
    let goal = values(theirs);
    let explains = |changes: &[(usize, &Candidate)]| {
        let mut edited = cut.clone();
        for (at, candidate) in changes {
            let Op::Input(id) = edited.nodes[*at].op else { return false };
            let Binding::Host(bound) = &edited.bindings[id.0 as usize] else { return false };
            if bound.len() != candidate.values.len() {
                return false;
            }
            let values = HostTensor { shape: bound.shape.clone(), ..(*candidate.values).clone() };
            edited.bindings[id.0 as usize] = Binding::Host(Arc::new(values));
        }
        edited.evaluate().is_ok_and(|v| v.len() == goal.len() && relative(&values(&v), &goal) <= slack)
    };
    let single = || inputs.iter().flat_map(|&at| candidates.iter().map(move |c| (at, c)));
    let found: Vec<(usize, &Candidate)> = match single().find(|change| explains(&[*change])) {
        Some(change) => vec![change],
        None => {
            let pairs = single().flat_map(|a| single().filter(move |b| a.0 < b.0 && a.1.name != b.1.name).map(move |b| [a, b]));
            pairs.into_iter().find(|pair| explains(pair))?.to_vec()
        }
    };
    let reasons = found.iter().map(|(at, candidate)| said(cut, *at, candidate, own, context)).collect();
    // The earlier of two is told first.
    let first = found
        .iter()
        .map(|(_, c)| c.name.as_str())
        .min_by(|a, b| if is_before(a, b) == Some(true) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater })?;
    Some(Missing { name: canonical(first), reasons })
}

fn candidates(own: &str, reference: &Reference, unused: &[String], trace: &Trace) -> Vec<Candidate> {
    let layer = StepName::parse(own).layer_idx;
    let near = |name: &&String| {
        let theirs = StepName::parse(name).layer_idx;
        let is_near = match (theirs, layer) {
            (Some(a), Some(b)) => a + 2 >= b,
            // Of the last layer, for what follows it.
            _ => true,
        };
        is_near && is_before(name, own) != Some(false)
    };
    let mut found: Vec<Candidate> = unused
        .iter()
        .filter(near)
        .filter_map(|name| {
            let (_, values) = reference.get(name)?;
            let rows = trace.args.n_tokens().max(1);
            let fits =
                values.dtype.is_float() && values.len().is_multiple_of(rows) && (0..values.len()).all(|i| values.value(i).is_finite());
            fits.then(|| Candidate { name: name.clone(), values: Arc::new(values.clone()) })
        })
        .collect();
    // The last before the step is the likeliest.
    found.reverse();
    found.truncate(MAX_TRIED);
    found
}

fn said(cut: &Cut, at: usize, candidate: &Candidate, own: &str, context: &Context<'_>) -> Reason {
    let read = cut.nodes[at].label.as_deref().unwrap_or("another value");
    let missing = canonical(&candidate.name);
    let shape = &cut.nodes[at].shape;
    let values: Vec<f64> = (0..candidate.values.len()).map(|i| candidate.values.value(i)).collect();
    let target = Target { values: &values, shape: &candidate.values.shape, slack: 1e-4 };
    let layers = (StepName::parse(&missing).layer_idx, StepName::parse(read).layer_idx);
    let is_stream = |name: &str| ["output", "embedding"].contains(&StepName::parse(name).step.as_str());
    let why = left_out_of(&target, &missing, read, context);
    if layers.0 != layers.1 && is_stream(&missing) && is_stream(read) {
        let text = format!(
            "a layer is missing, or layers are in another order: {own} reads {read} here and {missing} in the reference, which has no step here"
        );
        return Reason::new(ReasonKind::Layers, text);
    }
    let what = why.as_ref().map_or(String::new(), |r| format!(": {}", r.text));
    let kind = why.map_or(ReasonKind::Missing, |r| r.kind);
    Reason::new(kind, format!("{missing} is missing: {own} reads {read} {shape} in its place{what}"))
}

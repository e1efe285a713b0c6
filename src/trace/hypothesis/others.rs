//! What a step's operands may have been taken for: the model's other weights, and the values of other steps.

use std::sync::Arc;

use crate::graph::{Op, Weight};
use crate::tensor::HostTensor;

use super::super::consistency::finite_values;
use super::super::names::{StepName, is_before};
use super::super::record::Trace;
use super::super::reference_file::Reference;

/// Candidates for what was mixed up, the likeliest first.
pub(in super::super) struct Others {
    /// Those of the step's own layer, then of the layers nearest to it.
    pub weights: Vec<Arc<Weight>>,
    /// By name. Those of other steps, nearest first; before them, those that only the reference has: a step that the program left out.
    pub values: Vec<(String, Arc<HostTensor>)>,
}

impl Others {
    /// Around `step`. Weights are those of the graph and those of the model that it does not read: the right one may be among these.
    pub fn around(trace: &Trace, step: usize) -> Self {
        let mut weights: Vec<Arc<Weight>> = Vec::new();
        let of_graph = trace.graph.nodes().filter_map(|(_, node)| if let Op::Weight(weight) = &node.op { Some(weight) } else { None });
        for weight in of_graph.chain(&trace.weights) {
            if weights.iter().all(|w| w.id != weight.id) {
                weights.push(weight.clone());
            }
        }
        let own = StepName::parse(&trace.steps[step].name).layer_idx;
        weights.sort_by_key(|weight| match (StepName::parse(&weight.name).layer_idx, own) {
            (Some(a), Some(b)) => a.abs_diff(b),
            (None, None) => 0,
            _ => usize::MAX,
        });
        let mut order: Vec<usize> = (0..trace.steps.len()).filter(|&i| i != step).collect();
        order.sort_by_key(|&i| i.abs_diff(step));
        let values = order.into_iter().map(|i| (trace.steps[i].name.clone(), trace.steps[i].values.clone())).collect();
        Others { weights, values }
    }

    /// The same with the reference's values in the place of this run's, without those of later steps, and the streams of other layers first:
    /// these are far away where layers are in another order.
    pub fn of_reference(mut self, trace: &Trace, step: usize, reference: &Reference) -> Self {
        let own = &trace.steps[step].name;
        let is_stream = |name: &str| StepName::parse(name).step == "output";
        let index = |name: &str| trace.steps.iter().position(|s| s.name == name);
        self.values.retain(|(name, _)| is_before(name, own).unwrap_or(index(name) < Some(step)));
        for (name, values) in &mut self.values {
            if let Some(theirs) = index(name).and_then(|i| finite_values(trace, reference, i)) {
                *values = theirs;
            }
        }
        self.values.sort_by_key(|(name, _)| !is_stream(name));
        self
    }

    /// The same with what the reference holds of this step's layer, of the one before, and of none, and the trace does not.
    pub fn with_unused(mut self, trace: &Trace, step: usize, reference: &Reference, unused: &[String]) -> Self {
        let name = &trace.steps[step].name;
        let own = StepName::parse(name).layer_idx;
        let near = |other: &&String| {
            let layer = StepName::parse(other).layer_idx;
            (layer.is_none_or(|layer| Some(layer) == own || Some(layer + 1) == own) || own.is_none())
                && is_before(other, name) != Some(false)
        };
        let of_reference = |name: &String| {
            let values = reference.get(name)?.1.clone();
            values.dtype.is_float().then(|| (format!("the reference's {name}"), Arc::new(values)))
        };
        self.values.splice(0..0, unused.iter().filter(near).filter_map(of_reference));
        self
    }

    /// The weights that could stand in the place of `weight`.
    pub fn weights_like<'s>(&'s self, weight: &'s Weight) -> impl Iterator<Item = &'s Arc<Weight>> {
        self.weights.iter().filter(|other| other.shape == weight.shape && other.id != weight.id)
    }
}

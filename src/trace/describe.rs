//! A piece of a graph in words, and what the formats of weights say of a fault.

use std::collections::BTreeMap;

use crate::graph::Op;
use crate::tensor::DType;

use super::cut::Cut;
use super::diagnose::local;
use super::reason::{Reason, ReasonKind};
use super::record::{Trace, op_name};

/// Multiplications spent on telling a format from a weight.
const BUDGET_MACS: f64 = 3e9;

/// The ops of a piece and the weights they read.
pub(super) fn described(cut: &Cut) -> String {
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
pub(super) fn weight_format(trace: &Trace, step: usize, cut: &Cut, tolerance: f64) -> Option<Reason> {
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

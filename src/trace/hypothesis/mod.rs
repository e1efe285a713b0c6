//! What a step would be if one of its ops were another: each hypothesis is computed by the definition from the traced inputs and held
//! against the wrong values. This finds faults that leave no pattern in the values alone, such as a rotation of other pairs.

mod attention;
mod elementwise;
mod layout;
mod linear;
mod norm;
mod operand;
mod others;
mod rope;

pub(super) use others::Others;

use crate::tensor::HostTensor;

use super::cut::Cut;
use super::pattern::relative;
use super::reason::{Reason, ReasonKind};

/// One op of a piece of the graph replaced.
pub(super) struct Hypothesis {
    pub kind: ReasonKind,
    /// Follows "with": `the sign of the angle reversed`.
    pub text: String,
    pub cut: Cut,
}

impl Hypothesis {
    pub fn new(kind: ReasonKind, text: impl Into<String>, cut: Cut) -> Self {
        Hypothesis { kind, text: text.into(), cut }
    }
}

/// Whose values a hypothesis is to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The backend's, which its program does not explain.
    Ours,
    /// The reference's, which our program does not explain.
    Theirs,
}

/// Multiplications spent on one diagnosis: a few seconds of the reference's plain loops.
const BUDGET_MACS: f64 = 3e9;
/// More than two explanations of one step say no more than two.
const MAX_REASONS: usize = 2;

/// Hypotheses about node `at`.
type About = fn(&Cut, usize, &Others) -> Vec<Hypothesis>;

const ABOUT: &[About] = &[rope::about, attention::about, norm::about, elementwise::about, layout::about, linear::about, operand::about];

/// What explains `wrong` where `cut` as it stands gives `right`.
pub(super) fn reasons(cut: &Cut, others: &Others, side: Side, wrong: &HostTensor, right: &HostTensor, tolerance: f64) -> Vec<Reason> {
    let values = |t: &HostTensor| (0..t.len()).map(|i| t.value(i)).collect::<Vec<f64>>();
    let (wrong, right) = (values(wrong), values(right));
    let error = relative(&wrong, &right);
    // It must explain nearly all of the error, and come as near as rounding lets it.
    let slack = (8.0 * tolerance).max(1e-6).max(0.02 * error.min(1.0)).min(0.1 * error);
    let mut left = BUDGET_MACS;
    let mut found: Vec<(f64, Reason)> = Vec::new();
    // From the value backwards: the nearest op is the likeliest.
    'search: for at in (0..cut.nodes.len()).rev() {
        for hypothesis in ABOUT.iter().flat_map(|about| about(cut, at, others)) {
            left -= hypothesis.cut.macs();
            if left < 0.0 {
                break 'search;
            }
            // An edit whose operands do not fit is no hypothesis.
            let Ok(values_if) = hypothesis.cut.evaluate() else { continue };
            let rest = if values_if.len() == wrong.len() { relative(&values(&values_if), &wrong) } else { f64::INFINITY };
            if rest < slack {
                let of = match side {
                    Side::Ours => "the values are those",
                    Side::Theirs => "the reference's values are those",
                };
                let name = cut.nodes[at].label.as_deref().map(|l| format!(" of {l}")).unwrap_or_default();
                found.push((rest, Reason::new(hypothesis.kind, format!("{of}{name} with {}", hypothesis.text))));
            }
        }
    }
    // One that leaves much more of the error than another explains it less: an eps of 0 is nearly one of 1e-12.
    let best = found.iter().map(|(rest, _)| *rest).fold(f64::INFINITY, f64::min);
    found.retain(|(rest, _)| *rest <= (4.0 * best).max(1e-7));
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().map(|(_, reason)| reason).take(MAX_REASONS).collect()
}

//! A function of each value of one step.

use super::{Context, Target, What};

pub(super) struct Activation {
    pub name: &'static str,
    pub f: fn(f64) -> f64,
}

pub(super) const ACTIVATIONS: &[Activation] = &[
    Activation { name: "silu", f: |x| x * sigmoid(x) },
    Activation { name: "gelu (tanh)", f: |x| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()) },
    Activation { name: "gelu (erf)", f: |x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)) },
    Activation { name: "gelu (sigmoid of 1.702 x)", f: |x| x * sigmoid(1.702 * x) },
    Activation { name: "relu", f: |x| x.max(0.0) },
    Activation { name: "squared relu", f: |x| x.max(0.0) * x.max(0.0) },
    Activation { name: "sigmoid", f: sigmoid },
    Activation { name: "tanh", f: f64::tanh },
    Activation { name: "softplus", f: |x| x.max(0.0) + (-x.abs()).exp().ln_1p() },
    Activation { name: "exp", f: f64::exp },
    Activation { name: "the square", f: |x| x * x },
    Activation { name: "the absolute value", f: f64::abs },
];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Abramowitz and Stegun, 7.1.26: within 1.5e-7.
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.3275911 * x.abs());
    let series = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592].iter().fold(0.0, |sum, c| (sum + c) * t);
    (1.0 - series * (-x * x).exp()).copysign(x)
}

pub(super) fn find(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    context.known.iter().filter(|k| k.values.len() == target.values.len()).find_map(|k| {
        let found = ACTIVATIONS.iter().find(|a| target.rest(|i| (a.f)(k.values[i])).is_some())?;
        Some(What::Function(found.name, k.name.clone()))
    })
}

//! Sums and products of two steps.

use super::copy::fitted;
use super::function::{ACTIVATIONS, Activation};
use super::{Context, Known, Target, What};

/// Operands tried: the right one was made near by.
const MAX_TRIED: usize = 24;

fn fitting<'a>(target: &Target<'_>, context: &'a Context<'_>) -> Vec<&'a Known> {
    context.known.iter().filter(|k| k.values.len() == target.values.len()).take(MAX_TRIED).collect()
}

/// a + b, a - b, and a + c · b.
pub(super) fn sum(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    let fitting = fitting(target, context);
    let sample = target.sample();
    let pairs = || {
        fitting
            .iter()
            .enumerate()
            .flat_map(|(i, a)| fitting.iter().enumerate().filter(move |(j, _)| *j != i).map(move |(j, b)| (i, j, a, b)))
    };
    for (_, _, a, b) in pairs().filter(|(i, j, ..)| i < j) {
        if target.rest(|i| a.values[i] + b.values[i]).is_some() {
            return Some(What::Sum(a.name.clone(), 1.0, b.name.clone()));
        }
    }
    for (_, _, a, b) in pairs() {
        let left: Vec<f64> = target.values.iter().zip(&a.values).map(|(t, a)| t - a).collect();
        let Some(factor) = fitted(&left, &b.values, &sample) else { continue };
        // A factor that is fitted is one more number to be wrong with: a sum that is nearly the first operand alone explains nothing.
        if factor.abs() > 0.02 && target.rest(|i| a.values[i] + factor * b.values[i]).is_some() {
            return Some(What::Sum(a.name.clone(), factor, b.name.clone()));
        }
    }
    None
}

/// a · b, and f(a) · b.
pub(super) fn product(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    let fitting = fitting(target, context);
    for (i, a) in fitting.iter().enumerate() {
        for b in &fitting[i..] {
            if target.rest(|i| a.values[i] * b.values[i]).is_some() {
                return Some(What::Product(a.name.clone(), b.name.clone()));
            }
        }
    }
    for a in &fitting {
        for b in &fitting {
            let gated = ACTIVATIONS.iter().find(|Activation { f, .. }| target.rest(|i| f(a.values[i]) * b.values[i]).is_some());
            if let Some(Activation { name, .. }) = gated {
                return Some(What::Gated(name, a.name.clone(), b.name.clone()));
            }
        }
    }
    None
}

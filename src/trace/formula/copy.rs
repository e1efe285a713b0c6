//! Another step's values, as they are or times a factor.

use super::{Context, Target, What};

pub(super) fn find(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    let fits = || context.known.iter().filter(|k| k.values.len() == target.values.len());
    let copied = fits().find(|k| target.rest(|i| k.values[i]).is_some());
    if let Some(known) = copied {
        return Some(What::Copy(known.name.clone()));
    }
    fits().find_map(|k| {
        let factor = fitted(target.values, &k.values, &target.sample())?;
        target.rest(|i| factor * k.values[i]).map(|_| What::Scaled(factor, k.name.clone()))
    })
}

/// The factor that brings `b` nearest to `a` at some indices.
pub(super) fn fitted(a: &[f64], b: &[f64], at: &[usize]) -> Option<f64> {
    let (product, square) = at.iter().fold((0.0, 0.0), |(p, s), &i| (p + a[i] * b[i], s + b[i] * b[i]));
    let factor = product / square;
    (factor.is_finite() && factor.abs() > 1e-6).then_some(factor)
}

//! Faults that leave each value in its place and change how large it is.

use super::super::reason::{Reason, ReasonKind};
use super::{Evidence, relative};

/// Nothing but zeros where the reference has values.
pub(super) fn all_zero(e: &Evidence<'_>) -> Option<Reason> {
    let zero = e.ours.iter().all(|&v| v == 0.0) && e.theirs.iter().any(|&v| v != 0.0);
    zero.then(|| Reason::new(ReasonKind::Zero, "all values are zero: the step was never written, or its function returned 0"))
}

/// NaN or infinity that the reference does not have.
pub(super) fn nonfinite(e: &Evidence<'_>) -> Option<Reason> {
    let bad: Vec<usize> = (0..e.ours.len()).filter(|&i| !e.ours[i].is_finite() && e.theirs[i].is_finite()).collect();
    let &first = bad.first()?;
    let n_nan = bad.iter().filter(|&&i| e.ours[i].is_nan()).count();
    let (row, column) = (first / e.width().max(1), first % e.width().max(1));
    let from = if e.inputs_finite { "its inputs are finite, so the step makes them" } else { "its inputs hold such values already" };
    let text = format!("{n_nan} NaN and {} inf, the first at row {row}, column {column}; {from}", bad.len() - n_nan);
    Some(Reason::new(ReasonKind::NonFinite, text))
}

/// Every value is the reference's negative.
pub(super) fn wrong_sign(e: &Evidence<'_>) -> Option<Reason> {
    let negative: Vec<f64> = e.ours.iter().map(|v| -v).collect();
    (e.ours.iter().any(|&v| v != 0.0) && e.close(&negative, &e.theirs))
        .then(|| Reason::new(ReasonKind::Sign, "the sign is wrong: every value is the reference's negative"))
}

/// The factor c that brings `c · theirs` nearest to `ours`.
fn fitted_factor(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let (mut product, mut square) = (0.0, 0.0);
    for (a, b) in ours.iter().zip(theirs) {
        product += a * b;
        square += b * b;
    }
    let factor = product / square;
    (factor.is_finite() && factor != 0.0).then_some(factor)
}

/// One factor for all values, other than 1 and -1.
pub(super) fn constant_ratio(e: &Evidence<'_>) -> Option<Reason> {
    let factor = fitted_factor(&e.ours, &e.theirs)?;
    let unscaled: Vec<f64> = e.ours.iter().map(|v| v / factor).collect();
    let explained = e.ours.len() > 1 && (factor.abs() - 1.0).abs() > e.tolerance.max(1e-6) && factor > 0.0 && e.close(&unscaled, &e.theirs);
    // A factor near 1 must explain the error, not merely be smaller than it.
    let explained = explained && relative(&unscaled, &e.theirs) < 0.1 * relative(&e.ours, &e.theirs);
    explained.then(|| {
        let known = known_factor(factor, &e.head_dims, e.width()).map(|name| format!(", which is {name}")).unwrap_or_default();
        Reason::new(
            ReasonKind::Scale,
            format!("a scale is missing or applied twice: every value is {factor:.6} times the reference's{known}"),
        )
    })
}

/// The name of a factor that models use.
fn known_factor(factor: f64, head_dims: &[usize], width: usize) -> Option<String> {
    let mut named: Vec<(f64, String)> = Vec::new();
    for &d in head_dims {
        named.push(((d as f64).sqrt(), format!("√{d}, the root of the head size")));
        named.push((d as f64, format!("{d}, the head size")));
    }
    named.push(((width as f64).sqrt(), format!("√{width}, the root of the width")));
    named.push((width as f64, format!("{width}, the width")));
    let near = |a: f64| (factor / a - 1.0).abs() < 1e-3;
    named.iter().find_map(|(v, name)| if near(*v) { Some(name.clone()) } else { near(1.0 / v).then(|| format!("1 / {name}")) })
}

/// Each column has a factor of its own: a norm's weight is missing, doubled or another's. Needs rows enough to tell.
pub(super) fn per_column_factor(e: &Evidence<'_>) -> Option<Reason> {
    let (rows, width) = (e.n_rows(), e.width());
    if rows < 3 || width < 2 || constant_ratio(e).is_some() {
        return None;
    }
    let column = |values: &[f64], j: usize| (0..rows).map(|t| values[t * width + j]).collect::<Vec<_>>();
    let mut unscaled = e.ours.clone();
    for j in 0..width {
        let factor = fitted_factor(&column(&e.ours, j), &column(&e.theirs, j))?;
        (0..rows).for_each(|t| unscaled[t * width + j] /= factor);
    }
    e.close(&unscaled, &e.theirs).then(|| {
        Reason::new(ReasonKind::NormWeight, "each column is off by a factor of its own: a norm's weight is missing, doubled or another's")
    })
}

/// Each row has a factor of its own: what a norm divides by is wrong.
pub(super) fn per_row_factor(e: &Evidence<'_>) -> Option<Reason> {
    if e.n_rows() < 2 || e.width() < 3 || constant_ratio(e).is_some() {
        return None;
    }
    let mut unscaled = Vec::with_capacity(e.ours.len());
    let mut factors = Vec::new();
    for t in 0..e.n_rows() {
        let (ours, theirs) = (e.row(&e.ours, t), e.row(&e.theirs, t));
        let factor = fitted_factor(ours, theirs)?;
        factors.push(factor);
        unscaled.extend(ours.iter().map(|v| v / factor));
    }
    let near_1 = factors.iter().all(|f| (f - 1.0).abs() < 1e-6);
    (!near_1 && e.close(&unscaled, &e.theirs)).then(|| {
        let (min, max) = factors.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &f| (a.min(f), b.max(f)));
        let text = format!("each row is off by a factor of its own ({min:.6} to {max:.6}): a norm's mean or eps differs");
        Reason::new(ReasonKind::NormEps, text)
    })
}

/// Each column has an addend of its own, the same in every row.
pub(super) fn per_column_addend(e: &Evidence<'_>) -> Option<Reason> {
    let (rows, width) = (e.n_rows(), e.width());
    if rows < 3 {
        return None;
    }
    let mut corrected = e.ours.clone();
    for j in 0..width {
        let mean = (0..rows).map(|t| e.ours[t * width + j] - e.theirs[t * width + j]).sum::<f64>() / rows as f64;
        (0..rows).for_each(|t| corrected[t * width + j] -= mean);
    }
    (relative(&corrected, &e.theirs) < 0.02 * relative(&e.ours, &e.theirs))
        .then(|| Reason::new(ReasonKind::Bias, "every row is off by the same addends: a bias is missing or added twice"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, noise};
    use super::*;
    use crate::tensor::HostTensor;

    fn kind(pattern: fn(&Evidence<'_>) -> Option<Reason>, ours: &HostTensor, theirs: &HostTensor) -> Option<ReasonKind> {
        pattern(&Evidence { head_dims: vec![16], ..Evidence::new(ours, theirs, 1e-6) }).map(|r| r.kind)
    }

    #[test]
    fn zeros_are_seen() {
        let x = noise(&[4, 8], 1);
        assert_eq!(kind(all_zero, &map(&x, |_, _| 0.0), &x), Some(ReasonKind::Zero));
        assert_eq!(kind(all_zero, &map(&x, |i, v| if i == 3 { v } else { 0.0 }), &x), None);
    }

    #[test]
    fn nan_is_counted_and_placed() {
        let x = noise(&[4, 8], 1);
        let bad = map(&x, |i, v| {
            if i > 20 {
                f32::NAN
            } else if i == 20 {
                f32::INFINITY
            } else {
                v
            }
        });
        let reason = nonfinite(&Evidence::new(&bad, &x, 1e-6)).unwrap();
        assert!(reason.text.starts_with("11 NaN and 1 inf, the first at row 2, column 4; its inputs are finite"), "{reason}");
        assert_eq!(kind(nonfinite, &x, &x), None);
    }

    #[test]
    fn a_sign_is_no_scale() {
        let x = noise(&[4, 8], 1);
        let negative = map(&x, |_, v| -v);
        assert_eq!(kind(wrong_sign, &negative, &x), Some(ReasonKind::Sign));
        assert_eq!(kind(constant_ratio, &negative, &x), None);
        assert_eq!(kind(wrong_sign, &map(&x, |_, v| 2.0 * v), &x), None);
    }

    #[test]
    fn a_scale_is_named() {
        let x = noise(&[4, 8], 1);
        let reason = constant_ratio(&Evidence { head_dims: vec![16], ..Evidence::new(&map(&x, |_, v| v / 4.0), &x, 1e-6) }).unwrap();
        assert!(reason.text.contains("0.250000 times") && reason.text.ends_with("1 / √16, the root of the head size"), "{reason}");
        assert_eq!(kind(constant_ratio, &map(&x, |_, v| v * 1.0001), &x), Some(ReasonKind::Scale));
        assert_eq!(kind(constant_ratio, &noise(&[4, 8], 2), &x), None);
    }

    #[test]
    fn factors_of_columns_and_rows_are_told_apart() {
        let x = noise(&[6, 8], 1);
        let columns = map(&x, |i, v| v * (1.0 + 0.1 * (i % 8) as f32));
        let rows = map(&x, |i, v| v * (1.0 + 0.1 * (i / 8) as f32));
        assert_eq!(kind(per_column_factor, &columns, &x), Some(ReasonKind::NormWeight));
        assert_eq!(kind(per_row_factor, &columns, &x), None);
        assert_eq!(kind(per_row_factor, &rows, &x), Some(ReasonKind::NormEps));
        assert_eq!(kind(per_column_factor, &rows, &x), None);
    }

    #[test]
    fn a_bias_is_seen() {
        let x = noise(&[6, 8], 1);
        assert_eq!(kind(per_column_addend, &map(&x, |i, v| v + (i % 8) as f32), &x), Some(ReasonKind::Bias));
        assert_eq!(kind(per_column_addend, &map(&x, |i, v| v + (i / 8) as f32), &x), None);
    }
}

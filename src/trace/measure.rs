//! How far two tensors are apart.

use crate::tensor::{HostData, HostTensor};

/// Errors of one tensor against another of as many elements. Relative figures are infinite where one side is not finite and the other is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// Root mean square of the difference by that of the reference.
    pub relative_rms: f64,
    /// The same of the worst row (dimension 0), each against its own root mean square, or a twentieth of the whole's where that is more:
    /// one wrong row of many must not drown, and a row of almost nothing must not be judged by it.
    pub worst_row_rms: f64,
    pub worst_row: usize,
    /// The largest absolute difference, and where, row-major.
    pub max: f64,
    pub max_at: usize,
    /// The largest difference by the value itself plus its row's root mean square.
    pub relative_max: f64,
    /// Whether every bit agrees.
    pub equal_bits: bool,
}

/// # Panics
/// When the element counts differ.
pub fn measure(ours: &HostTensor, theirs: &HostTensor) -> Errors {
    assert_eq!(ours.len(), theirs.len(), "compared tensors have equal element counts");
    let n_rows = if ours.shape.rank() < 2 { 1 } else { ours.shape[0] };
    let width = ours.len().checked_div(n_rows).unwrap_or(0);
    let mut errors = Errors {
        relative_rms: 0.0,
        worst_row_rms: 0.0,
        worst_row: 0,
        max: 0.0,
        max_at: 0,
        relative_max: 0.0,
        equal_bits: equal_bits(ours, theirs),
    };
    let all = rms((0..theirs.len()).map(|i| theirs.value(i)));
    let mut squares = 0.0;
    for row in 0..n_rows {
        let range = row * width..(row + 1) * width;
        let row_rms = rms(range.clone().map(|i| theirs.value(i))).max(all / 20.0);
        let mut row_squares = 0.0;
        for i in range {
            let d = distance(ours.value(i), theirs.value(i));
            row_squares += d * d;
            if d > errors.max {
                (errors.max, errors.max_at) = (d, i);
            }
            errors.relative_max = errors.relative_max.max(ratio(d, row_rms + magnitude(theirs.value(i))));
        }
        let row_error = ratio((row_squares / width.max(1) as f64).sqrt(), row_rms);
        if row_error > errors.worst_row_rms {
            (errors.worst_row_rms, errors.worst_row) = (row_error, row);
        }
        squares += row_squares;
    }
    errors.relative_rms = ratio((squares / ours.len().max(1) as f64).sqrt(), all);
    errors
}

/// Root mean square of the finite values.
pub(super) fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0usize);
    for v in values.filter(|v| v.is_finite()) {
        sum += v * v;
        n += 1;
    }
    (sum / n.max(1) as f64).sqrt()
}

/// Equal infinities, and NaN on both sides, agree; a number never agrees with either.
fn distance(a: f64, b: f64) -> f64 {
    if a == b || a.is_nan() && b.is_nan() {
        return 0.0;
    }
    let d = (a - b).abs();
    if d.is_nan() { f64::INFINITY } else { d }
}

fn magnitude(v: f64) -> f64 {
    if v.is_finite() { v.abs() } else { 0.0 }
}

fn ratio(d: f64, by: f64) -> f64 {
    if d == 0.0 { 0.0 } else { d / by }
}

fn equal_bits(a: &HostTensor, b: &HostTensor) -> bool {
    match (&a.data, &b.data) {
        (HostData::F32(a), HostData::F32(b)) => a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()),
        (HostData::I32(a), HostData::I32(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> HostTensor {
        HostTensor::f32([values.len() / 2, 2], values.to_vec())
    }

    #[test]
    fn one_wrong_row_of_many_does_not_drown() {
        let theirs = tensor(&[1.0; 2000]);
        let mut ours = theirs.clone();
        ours.data = HostData::F32((0..2000).map(|i| if i / 2 == 7 { 1.1 } else { 1.0 }).collect());
        let errors = measure(&ours, &theirs);
        assert!(errors.relative_rms < 0.004 && (errors.worst_row_rms - 0.1).abs() < 1e-6);
        assert_eq!((errors.worst_row, errors.max_at), (7, 14));
    }

    #[test]
    fn nan_agrees_with_nan_alone() {
        let nan = tensor(&[1.0, f32::NAN]);
        assert_eq!(measure(&nan, &nan).max, 0.0);
        assert_eq!(measure(&nan, &tensor(&[1.0, 1.0])).worst_row_rms, f64::INFINITY);
        assert_eq!(measure(&tensor(&[1.0, f32::INFINITY]), &tensor(&[1.0, f32::INFINITY])).max, 0.0);
    }

    #[test]
    fn zero_and_minus_zero_are_equal_numbers_of_other_bits() {
        let errors = measure(&tensor(&[0.0, 1.0]), &tensor(&[-0.0, 1.0]));
        assert!(errors.max == 0.0 && !errors.equal_bits);
    }
}

//! Faults of too few bits.

use half::{bf16, f16};

use super::super::reason::{Reason, ReasonKind};
use super::{Evidence, relative};

/// The largest f16.
const F16_MAX: f64 = 65504.0;

/// Values past f16's range became infinite or stopped at its end; or NaN follows inputs whose squares f16 cannot hold.
pub(super) fn f16_overflow(e: &Evidence<'_>) -> Option<Reason> {
    let past = |v: f64| v.abs() > F16_MAX;
    let lost = |i: usize| e.ours[i].is_infinite() || e.ours[i].abs() == F16_MAX;
    let n_lost = (0..e.ours.len()).filter(|&i| e.theirs[i].is_finite() && past(e.theirs[i]) && lost(i)).count();
    if n_lost > 0 {
        let largest = e.theirs.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
        let text = format!("f16 overflows: {n_lost} values past 65504 (the reference reaches {largest:.0}) are infinite or stop there");
        return Some(Reason::new(ReasonKind::F16Overflow, text));
    }
    let broken = (0..e.ours.len()).any(|i| !e.ours[i].is_finite() && e.theirs[i].is_finite());
    (broken && e.inputs_finite && e.inputs_max > F16_MAX.sqrt()).then(|| {
        let text = format!("f16 may overflow inside: inputs reach {:.0}, and f16 holds no square of more than 255", e.inputs_max);
        Reason::new(ReasonKind::F16Overflow, text)
    })
}

/// Every value is a number of f16, or of bf16, that the reference's are not, and no further off than its rounding.
pub(super) fn rounded(e: &Evidence<'_>) -> Option<Reason> {
    let rounds_to = |round: fn(f64) -> f64, half_ulp: f64| is_rounded(&e.ours, &e.theirs, round, half_ulp);
    // A bf16 number within f16's range may be an f16 number too: the coarser type is the answer.
    if rounds_to(|v| bf16::from_f64(v).to_f64(), 2f64.powi(-9)) {
        return Some(Reason::new(ReasonKind::Bf16Rounding, "rounded to bf16: every value is a bf16 number"));
    }
    rounds_to(|v| f16::from_f64(v).to_f64(), 2f64.powi(-12))
        .then(|| Reason::new(ReasonKind::F16Rounding, "rounded to f16: every value is an f16 number"))
}

/// Whether `a` holds numbers of a type alone and `b` does not, and the two are no further apart than its rounding.
fn is_rounded(a: &[f64], b: &[f64], round: fn(f64) -> f64, half_ulp: f64) -> bool {
    let holds = a.iter().all(|&v| v.is_finite() && round(v) == v) && b.iter().any(|&v| round(v) != v);
    // Rounded once a value is off by half a step; sums of rounded values by a few.
    holds && relative(a, b) < 8.0 * half_ulp
}

/// The same of the reference: it was made in a narrower type than this run.
pub(in super::super) fn reference_rounded(ours: &[f64], theirs: &[f64]) -> Option<Reason> {
    let said = |name: &str| {
        let text = format!(
            "the reference is rounded to {name}: every value of it is a {name} number, and the difference is of that size; make it in f32, or \
             compare in the default mode"
        );
        Reason::new(ReasonKind::Reference, text)
    };
    if is_rounded(theirs, ours, |v| bf16::from_f64(v).to_f64(), 2f64.powi(-9)) {
        return Some(said("bf16"));
    }
    is_rounded(theirs, ours, |v| f16::from_f64(v).to_f64(), 2f64.powi(-12)).then(|| said("f16"))
}

/// Errors in every row like those of f16 sums: small, without a mean, in no relation to the values.
pub(super) fn f16_arithmetic(e: &Evidence<'_>) -> Option<Reason> {
    let error = relative(&e.ours, &e.theirs);
    // Down to a step of f16's rounding, up to what a few thousand of them add up to.
    if !(5e-5..1e-2).contains(&error) || e.tolerance > 1e-4 || e.wrong_rows().len() < e.n_rows() || rounded(e).is_some() {
        return None;
    }
    let (mut sum, mut squares, mut product, mut theirs) = (0.0, 0.0, 0.0, 0.0);
    for (a, b) in e.ours.iter().zip(&e.theirs) {
        let d = a - b;
        sum += d;
        squares += d * d;
        product += d * b;
        theirs += b * b;
    }
    let n = e.ours.len() as f64;
    // A mean or a correlation of more than a few standard deviations is no rounding noise.
    let unbiased = sum.abs() < 4.0 * squares.sqrt() * (n / n.sqrt());
    let uncorrelated = product.abs() < (4.0 / n.sqrt()).max(0.3) * (squares * theirs).sqrt();
    (unbiased && uncorrelated).then(|| {
        let text = format!("errors of {error:.1e}, spread over all values without a pattern: arithmetic or an accumulator in f16");
        Reason::new(ReasonKind::F16Arithmetic, text)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, noise};
    use super::*;

    #[test]
    fn an_overflow_is_told_from_other_infinities() {
        let x = map(&noise(&[4, 8], 1), |_, v| v * 60000.0);
        let saturated = map(&x, |_, v| f16::from_f32(v).to_f32());
        let reason = f16_overflow(&Evidence::new(&saturated, &x, 1e-6)).unwrap();
        assert_eq!(reason.kind, ReasonKind::F16Overflow);
        let small = noise(&[4, 8], 1);
        let infinite = map(&small, |i, v| if i == 3 { f32::INFINITY } else { v });
        assert!(f16_overflow(&Evidence::new(&infinite, &small, 1e-6)).is_none());
        assert!(f16_overflow(&Evidence { inputs_max: 300.0, ..Evidence::new(&infinite, &small, 1e-6) }).is_some());
    }

    #[test]
    fn roundings_are_told_apart() {
        let x = noise(&[4, 8], 1);
        let kind = |ours| rounded(&Evidence::new(&ours, &x, 1e-6)).map(|r| r.kind);
        assert_eq!(kind(map(&x, |_, v| f16::from_f32(v).to_f32())), Some(ReasonKind::F16Rounding));
        assert_eq!(kind(map(&x, |_, v| bf16::from_f32(v).to_f32())), Some(ReasonKind::Bf16Rounding));
        assert_eq!(kind(map(&x, |_, v| v + 1e-4)), None);
        assert_eq!(kind(map(&x, |_, v| f16::from_f32(v * 2.0).to_f32())), None, "a wrong value that is an f16 number");
    }

    #[test]
    fn noise_of_the_size_of_f16_is_seen_and_a_shift_is_not() {
        let (x, e) = (noise(&[8, 32], 1), noise(&[8, 32], 2));
        let noise = e.as_f32().unwrap();
        let kind = |ours| f16_arithmetic(&Evidence::new(&ours, &x, 1e-6)).map(|r| r.kind);
        assert_eq!(kind(map(&x, |i, v| v + 5e-4 * noise[i])), Some(ReasonKind::F16Arithmetic));
        assert_eq!(kind(map(&x, |_, v| v * 1.001)), None);
        assert_eq!(kind(map(&x, |i, v| if i < 32 { v } else { v + 5e-4 * noise[i] })), None, "one row is right");
    }
}

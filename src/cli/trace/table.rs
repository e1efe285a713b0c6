//! Traces and comparisons as text.

use std::fmt::Write;

use super::super::columns::aligned;
use tensorlogic::graph::Origin;
use tensorlogic::trace::{Comparison, Outcome, Reference, Stats, Step, StepComparison, Trace};

/// What the first column says.
const MARKS: &[(&str, &str)] = &[
    ("->", "-> the first step that differs"),
    ("!", "! differs, too"),
    ("p", "p within what this mode allows, but the program gives other values than the reference from the reference's own inputs"),
    ("?", "? not in the reference"),
];

/// Values shown of each step.
const FIRST: usize = 4;

/// One line a step: shape, sum, extremes, rms, counts of what is not finite, the first values; with `places` where in the program it is.
pub fn values(trace: &Trace, places: bool, place: &dyn Fn(Origin) -> Option<String>) -> String {
    let mut rows =
        vec![row(["step", "shape", "sum", "min", "max", "rms", "nan", "inf", "first values", if places { "place" } else { "" }])];
    for step in trace.steps.iter().filter(|s| !s.is_alias) {
        let s = &step.stats;
        let first: Vec<String> = step.first_values(FIRST).into_iter().map(number).collect();
        rows.push(vec![
            step.name.clone(),
            step.shape().to_string(),
            number(s.sum),
            number(s.min),
            number(s.max),
            number(s.rms),
            s.nan_count.to_string(),
            s.inf_count.to_string(),
            first.join(" "),
            if places { place(step.origin).unwrap_or_default() } else { String::new() },
        ]);
    }
    aligned(&rows, 2..8)
}

/// One line a step: its error beside what is allowed, and both sides' rms and first values. The first one that is wrong is marked.
pub fn comparison(trace: &Trace, reference: &Reference, comparison: &Comparison, place: &dyn Fn(Origin) -> Option<String>) -> String {
    let mut rows =
        vec![row(["", "step", "shape", "error", "allowed", "largest", "rms", "their rms", "first values", "their first values"])];
    // An alias that the reference does not know says nothing.
    let is_shown = |(_, (step, compared)): &(usize, (&Step, &StepComparison))| !step.is_alias || compared.outcome != Outcome::Absent;
    for (i, (step, compared)) in trace.steps.iter().zip(&comparison.steps).enumerate().filter(is_shown) {
        let theirs = reference.values(&step.name, step.shape(), trace.position()).and_then(Result::ok);
        let mark = match &compared.outcome {
            _ if comparison.first_wrong == Some(i) => "->",
            Outcome::Agrees(_) if compared.program_is_wrong() => "p",
            Outcome::Agrees(_) => "",
            Outcome::Absent => "?",
            Outcome::Differs(_) | Outcome::Shape(_) => "!",
        };
        let (error, largest) = match (&compared.outcome, compared.errors()) {
            (_, Some(errors)) => (scientific(errors.worst_row_rms), scientific(errors.max)),
            (Outcome::Shape(shape), _) => (format!("is {shape}"), String::new()),
            _ => ("not in it".to_owned(), String::new()),
        };
        let firsts = |n: usize, value: &dyn Fn(usize) -> f64| (0..n.min(2)).map(|i| number(value(i))).collect::<Vec<_>>().join(" ");
        let mut cells = vec![
            mark.to_owned(),
            step.name.clone(),
            step.shape().to_string(),
            error,
            scientific(compared.tolerance),
            largest,
            number(step.stats.rms),
            theirs.as_ref().map_or(String::new(), |t| number(Stats::of(t).rms)),
            firsts(step.values.len(), &|i| step.values.value(i)),
            theirs.as_ref().map_or(String::new(), |t| firsts(t.len(), &|i| t.value(i))),
        ];
        if comparison.first_wrong == Some(i) {
            cells.push(format!("<- the first that differs{}", at(place(step.origin))));
        }
        rows.push(cells);
    }
    let mut out = aligned(&rows, 3..8);
    let shown: Vec<&str> = MARKS.iter().filter(|(mark, _)| rows[1..].iter().any(|row| row[0] == *mark)).map(|(_, says)| *says).collect();
    if !shown.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "marks: {}", shown.join("; "));
    }
    out.push_str("error and allowed: root mean square of the difference by that of the reference, in the worst row; largest: the largest difference\n");
    out
}

pub(super) fn at(place: Option<String>) -> String {
    place.map_or(String::new(), |place| format!(" at {place}"))
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Six significant digits.
fn number(v: f64) -> String {
    let magnitude = v.abs();
    if v == 0.0 {
        "0".to_owned()
    } else if !v.is_finite() {
        v.to_string()
    } else if (1e-3..1e6).contains(&magnitude) {
        let digits = (5 - magnitude.log10().floor() as i32).clamp(0, 8) as usize;
        format!("{v:.digits$}")
    } else {
        format!("{v:.5e}")
    }
}

pub(super) fn scientific(v: f64) -> String {
    if v == 0.0 { "0".to_owned() } else { format!("{v:.1e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_digits_whatever_their_size() {
        let shown = [0.0, 1.0, -0.0123456789, 123456.7, 1.5e9, 2e-7, f64::NAN, f64::NEG_INFINITY].map(number);
        assert_eq!(shown, ["0", "1.00000", "-0.0123457", "123457", "1.50000e9", "2.00000e-7", "NaN", "-inf"]);
    }
}

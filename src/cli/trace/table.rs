//! Traces and comparisons as text.

use std::fmt::Write;

use super::super::columns::aligned;
use crate::graph::Origin;
use crate::trace::{Comparison, Diagnosis, Outcome, Reference, Stats, Trace};

/// Values shown of each step.
const FIRST: usize = 4;

/// One line a step: shape, sum, extremes, rms, counts of what is not finite, the first values; with `places` where in the program it is.
pub fn values(trace: &Trace, places: bool, place: &dyn Fn(Origin) -> Option<String>) -> String {
    let mut rows =
        vec![row(["step", "shape", "sum", "min", "max", "rms", "nan", "inf", "first values", if places { "place" } else { "" }])];
    for step in &trace.steps {
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
    let mut out = format!("compared with {}, tolerance {}\n", comparison.theirs, comparison.tolerance.describe());
    let mut rows =
        vec![row(["", "step", "shape", "error", "allowed", "largest", "rms", "their rms", "first values", "their first values"])];
    for (i, (step, compared)) in trace.steps.iter().zip(&comparison.steps).enumerate() {
        let theirs = reference.values(&step.name, step.shape(), trace.position()).and_then(Result::ok);
        let mark = match &compared.outcome {
            _ if comparison.first_wrong == Some(i) => "->",
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
    out += &aligned(&rows, 3..8);
    if !comparison.unused.is_empty() {
        let names: Vec<&str> = comparison.unused.iter().map(String::as_str).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "not compared of the reference: {}", listed(&names));
    }
    out
}

/// The step to blame and the likely reasons.
pub fn diagnosis(comparison: &Comparison, diagnosis: &Diagnosis, place: &dyn Fn(Origin) -> Option<String>) -> String {
    let mut out = String::new();
    if let Some(first) = comparison.first_wrong.map(|i| &comparison.steps[i]) {
        out += &format!("first step that differs: {}{}\n", first.name, at(place(first.origin)));
        if first.name != diagnosis.name {
            out += &format!("the step to blame: {}{}\n", diagnosis.name, at(place(diagnosis.origin)));
        }
    }
    if let Some(error) = diagnosis.local_error {
        out += &format!("its own error, on the inputs that it had: {}\n", scientific(error));
    }
    if !diagnosis.unknown.is_empty() {
        let names: Vec<&str> = diagnosis.unknown.iter().map(|&i| comparison.steps[i].name.as_str()).collect();
        out += &format!("steps before it that the reference does not have: {}\n", listed(&names));
    }
    out += "likely reasons, the likeliest first:\n";
    for (i, reason) in diagnosis.reasons.iter().enumerate() {
        out += &format!("  {}. {reason}\n", i + 1);
    }
    out
}

/// The first few of many names.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    names[..names.len().min(SHOWN)].join(", ") + &more
}

fn at(place: Option<String>) -> String {
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

fn scientific(v: f64) -> String {
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

//! What a comparison comes to, before its table: the step to blame and why, or how near to what was allowed all steps are.

use std::fmt::Write;

use super::table::{at, scientific};
use tensorlogic::graph::Origin;
use tensorlogic::trace::{Comparison, Diagnosis, Reference, Rounding, Tolerance};

/// What is compared with what.
pub fn heading(comparison: &Comparison) -> String {
    format!("compared with {}, tolerance {}", comparison.theirs, comparison.tolerance.describe())
}

/// The step to blame and the likely reasons.
pub fn diagnosis(comparison: &Comparison, diagnosis: &Diagnosis, place: &dyn Fn(Origin) -> Option<String>) -> String {
    let mut out = String::new();
    if comparison.tolerance != Tolerance::Bits {
        out += &format!("verdict: {}\n", diagnosis.verdict.describe());
    }
    if let Some(first) = comparison.first_wrong.map(|i| &comparison.steps[i]) {
        out += &format!("first step that differs: {}{}\n", first.name, at(place(first.origin)));
        if first.name != diagnosis.name {
            out += &format!("the step to blame: {}{}\n", diagnosis.name, at(place(diagnosis.origin)));
        }
    }
    if let Some(error) = diagnosis.local_error {
        out += &format!("its own error, on the inputs that it had: {}\n", scientific(error));
    }
    if let Some(check) = comparison.steps[diagnosis.step].program.filter(|check| check.is_wrong()) {
        out += &format!(
            "the program's error, from the reference's inputs and without this run's rounding: {}, allowed {}\n",
            scientific(check.error),
            scientific(check.allowed)
        );
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

/// All agrees: within what, how near, and what a finer mode would see.
pub fn agreement(comparison: &Comparison, is_precise: bool) -> String {
    let n = comparison.n_compared();
    let agree = if n == 1 { "step agrees" } else { "steps agree" };
    let mut out = format!("verdict: {n} {agree} within {}\n", comparison.tolerance.describe());
    if let Some((step, errors)) = comparison.nearest() {
        let _ = writeln!(
            out,
            "nearest to what is allowed: {}, error {} of {}",
            step.name,
            scientific(errors.worst_row_rms),
            scientific(step.tolerance)
        );
    }
    let checked = comparison.steps.iter().filter_map(|s| s.program).count();
    if checked > 0 {
        let _ = writeln!(
            out,
            "from the reference's own inputs the program gives its values, too: {checked} of {n} steps were computed so, in f64"
        );
    }
    if let (Tolerance::Relative { base }, false) = (comparison.tolerance, is_precise) {
        let Tolerance::Relative { base: finest } = Tolerance::of(Rounding::F32) else { return out };
        let _ = writeln!(
            out,
            "a fault of the backend that changes a step by less than is allowed is not seen; `--precise --kv f32` allows {finest:.0e}, a {:.0}th of it",
            base / finest
        );
    }
    out
}

/// What was not compared, and what agrees without saying anything.
pub fn notes(reference: &Reference, comparison: &Comparison) -> String {
    let mut out = String::new();
    if !comparison.nonfinite.is_empty() {
        let names: Vec<&str> = comparison.nonfinite.iter().map(String::as_str).collect();
        let _ = writeln!(out, "NaN or infinity on both sides, which shows no agreement: {}", listed(&names));
    }
    if !comparison.unused.is_empty() {
        let names: Vec<&str> = comparison.unused.iter().map(String::as_str).collect();
        let _ = writeln!(out, "not compared of the reference: {}", listed(&names));
    }
    if !reference.unread.is_empty() {
        let names: Vec<String> = reference.unread.iter().map(|(name, dtype)| format!("{name} ({dtype})")).collect();
        let _ = writeln!(
            out,
            "not read of the reference, which holds them in a type that is not known here: {}; write them as f32 or i32",
            listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
        );
    }
    out
}

/// The first few of many names.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    names[..names.len().min(SHOWN)].join(", ") + &more
}

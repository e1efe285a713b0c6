//! `tl doctor`: every kernel on this adapter against its definition.

use serde::Serialize;

use crate::doctor::{Arithmetic, Bound, Outcome, Verdict, cases, check};
use crate::engine::Backend;

use super::args::DoctorArgs;
use super::error::{CliError, CliResult};
use super::terminal::{self, Mark};

/// What `--json` prints. Stable.
#[derive(Serialize)]
struct Report {
    device: String,
    passed: usize,
    failed: usize,
    failures: Vec<String>,
}

pub fn run(args: &DoctorArgs) -> CliResult {
    let (mut passed, mut failures, mut device) = (0, Vec::new(), String::new());
    for (arithmetic, precise) in [(Arithmetic::Fast, false), (Arithmetic::Precise, true)] {
        let backend = Backend::open(&args.device.request(precise))?;
        device = backend.note.clone();
        let mode = if precise { "precise" } else { "default" };
        if !args.json {
            terminal::say(format_args!("{device}, {mode} mode"))?;
        }
        let mut table: Vec<(String, usize, usize, f64)> = Vec::new();
        let mut mark = Mark::new();
        for case in cases(arithmetic) {
            if args.filter.as_ref().is_some_and(|f| !case.name.contains(f.as_str())) {
                continue;
            }
            mark.show(&case.name);
            let outcome = check(&case, &mut *backend.executor.borrow_mut());
            let kernel = case.name.split([' ', ',']).next().unwrap_or("").to_owned();
            let at = table.iter().position(|row| row.0 == kernel).unwrap_or(table.len());
            if at == table.len() {
                table.push((kernel, 0, 0, 0.0));
            }
            let row = &mut table[at];
            row.1 += 1;
            match &outcome.verdict {
                Verdict::Pass { error } => {
                    passed += 1;
                    row.2 += 1;
                    row.3 = row.3.max(*error);
                }
                _ => failures.push(format!("{mode}: {}", failure(&outcome))),
            }
        }
        mark.clear();
        if !args.json {
            terminal::say(format_args!("{:<16} {:>6} {:>7}  largest error", "kernel", "cases", "passed"))?;
            for (kernel, n, ok, error) in &table {
                terminal::say(format_args!("{kernel:<16} {n:>6} {ok:>7}  {error:.1e}{}", if ok < n { "  FAILED" } else { "" }))?;
            }
        }
    }
    if args.json {
        let report = Report { device, passed, failed: failures.len(), failures: failures.clone() };
        terminal::say(serde_json::to_string_pretty(&report).map_err(CliError::failed)?)?;
    } else {
        for line in &failures {
            terminal::say(line)?;
        }
        let verdict = if failures.is_empty() {
            "this device computes what the definitions say"
        } else {
            "this device or its driver computes wrong values"
        };
        terminal::say(format_args!("{passed} passed, {} failed: {verdict}", failures.len()))?;
    }
    if failures.is_empty() { Ok(()) } else { Err(CliError::Silent) }
}

fn failure(outcome: &Outcome) -> String {
    let bound = match outcome.bound {
        Bound::Exact => "exact".to_owned(),
        Bound::Relative(bound) | Bound::Scaled { bound, .. } => format!("{bound:.1e}"),
    };
    match &outcome.verdict {
        Verdict::Fail { error, detail } => format!("{}: error {error:.2e}, bound {bound}: {detail}", outcome.name),
        Verdict::Error(message) => format!("{}: {message}", outcome.name),
        Verdict::Pass { .. } => outcome.name.clone(),
    }
}

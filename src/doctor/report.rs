//! What an examination found: as Markdown that a user pastes into an issue, and as JSON.

use serde::Serialize;

use super::case::{Bound, Outcome, Verdict};

/// All that was found. As JSON stable: fields are added, not changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// `Executor::describe` of the default mode.
    pub device: String,
    pub passed: usize,
    pub failed: usize,
    /// A sentence each, beginning with the mode.
    pub failures: Vec<String>,
    /// The program and the device: adapter, driver, features and limits that choose kernels.
    pub facts: Vec<Fact>,
    pub modes: Vec<Mode>,
}

/// A thing and what it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

/// One way of computing: `default`, or `precise`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mode {
    pub name: String,
    pub device: String,
    pub kernels: Vec<Row>,
    pub checks: Vec<Check>,
}

/// The cases of one kernel and variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub kernel: String,
    pub cases: usize,
    pub passed: usize,
    /// Of those that passed.
    pub largest_error: f64,
}

/// A check of the whole: a text, determinism, times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    pub name: String,
    pub passed: bool,
    /// What was seen.
    pub says: String,
}

impl Mode {
    pub fn new(name: &str, device: &str) -> Self {
        Mode { name: name.to_owned(), device: device.to_owned(), kernels: Vec::new(), checks: Vec::new() }
    }
}

impl Report {
    pub fn fact(&mut self, name: &str, value: impl Into<String>) {
        self.facts.push(Fact { name: name.to_owned(), value: value.into() });
    }

    /// Whether anything was examined and all of it is right.
    pub fn is_healthy(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Counts an outcome in the last mode.
    pub fn count(&mut self, kernel: &str, outcome: &Outcome) {
        let Some(mode) = self.modes.last_mut() else { return };
        let at = mode.kernels.iter().position(|row| row.kernel == kernel).unwrap_or_else(|| {
            mode.kernels.push(Row { kernel: kernel.to_owned(), cases: 0, passed: 0, largest_error: 0.0 });
            mode.kernels.len() - 1
        });
        let row = &mut mode.kernels[at];
        row.cases += 1;
        if let Verdict::Pass { error } = outcome.verdict {
            row.passed += 1;
            row.largest_error = row.largest_error.max(error);
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(format!("{}: {}", mode.name, failure(outcome)));
        }
    }

    /// Counts a check in the last mode.
    pub fn check(&mut self, name: &str, passed: bool, says: impl Into<String>) {
        let Some(mode) = self.modes.last_mut() else { return };
        let check = Check { name: name.to_owned(), passed, says: says.into() };
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(format!("{}: {name}: {}", mode.name, check.says));
        }
        mode.checks.push(check);
    }

    /// Tables whose columns stand below each other as plain text, too.
    pub fn to_markdown(&self) -> String {
        let mut out = table(
            &[vec!["device".to_owned(), self.device.clone()]],
            &self.facts.iter().map(|f| vec![f.name.clone(), f.value.clone()]).collect::<Vec<_>>(),
        );
        out.push('\n');
        if self.modes.iter().any(|m| !m.kernels.is_empty()) {
            out += &self.kernels();
            out.push('\n');
        }
        if self.modes.iter().any(|m| !m.checks.is_empty()) {
            out += &self.checks();
            out.push('\n');
        }
        for line in &self.failures {
            out += &format!("* {line}\n");
        }
        if !self.failures.is_empty() {
            out.push('\n');
        }
        let verdict = match self.is_healthy() {
            true => "this device computes what the definitions say",
            false => "this device or its driver computes wrong values",
        };
        out + &format!("{} passed, {} failed: {verdict}\n", self.passed, self.failed)
    }

    /// One line a kernel, the modes side by side.
    fn kernels(&self) -> String {
        let mut header = vec!["kernel".to_owned(), "cases".to_owned()];
        for mode in &self.modes {
            header.extend([mode.name.clone(), "largest error".to_owned()]);
        }
        let mut names: Vec<&str> = Vec::new();
        for row in self.modes.iter().flat_map(|m| &m.kernels) {
            if !names.contains(&row.kernel.as_str()) {
                names.push(&row.kernel);
            }
        }
        let line = |name: &&str| {
            let rows: Vec<Option<&Row>> = self.modes.iter().map(|m| m.kernels.iter().find(|row| row.kernel == *name)).collect();
            let cases = rows.iter().flatten().map(|row| row.cases).max().unwrap_or(0);
            let mut line = vec![(*name).to_owned(), cases.to_string()];
            for row in rows {
                line.extend(match row {
                    Some(row) if row.passed == row.cases => ["passed".to_owned(), error(row.largest_error)],
                    Some(row) => [format!("**{} FAILED**", row.cases - row.passed), error(row.largest_error)],
                    None => ["–".to_owned(), String::new()],
                });
            }
            line
        };
        table(&[header], &names.iter().map(line).collect::<Vec<_>>())
    }

    fn checks(&self) -> String {
        let header = ["check", "mode", "", "seen"].map(str::to_owned).to_vec();
        let line = |mode: &Mode, check: &Check| {
            let verdict = if check.passed { "passed" } else { "**FAILED**" };
            vec![check.name.clone(), mode.name.clone(), verdict.to_owned(), check.says.clone()]
        };
        let lines: Vec<Vec<String>> = self.modes.iter().flat_map(|mode| mode.checks.iter().map(move |check| line(mode, check))).collect();
        table(&[header], &lines)
    }
}

fn error(error: f64) -> String {
    if error == 0.0 { "0".to_owned() } else { format!("{error:.1e}") }
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

fn table(header: &[Vec<String>; 1], rows: &[Vec<String>]) -> String {
    let n = header[0].len();
    let all = || header.iter().chain(rows);
    let widths: Vec<usize> = (0..n).map(|i| all().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0).max(3)).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, &width)| format!("{:<width$}", cell.replace('|', "\\|"))).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    let mut out = line(&header[0]);
    out += &line(&rule);
    out.extend(rows.iter().map(|row| line(row)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, verdict: Verdict) -> Outcome {
        Outcome { name: name.to_owned(), bound: Bound::Relative(1e-6), verdict }
    }

    #[test]
    fn a_kernel_that_fails_in_one_mode_is_marked_there_and_told_in_words() {
        let mut report = Report { device: "cpu".to_owned(), ..Report::default() };
        report.fact("driver", "1.0");
        for (mode, verdict) in
            [("default", Verdict::Fail { error: 0.5, detail: "element 1".into() }), ("precise", Verdict::Pass { error: 2e-7 })]
        {
            report.modes.push(Mode::new(mode, "cpu"));
            report.count("rope", &outcome("rope 3", verdict));
        }
        report.check("text", true, "as expected");
        assert!(!report.is_healthy());
        let expected = "\
| device | cpu |
| ------ | --- |
| driver | 1.0 |

| kernel | cases | default      | largest error | precise | largest error |
| ------ | ----- | ------------ | ------------- | ------- | ------------- |
| rope   | 1     | **1 FAILED** | 0             | passed  | 2.0e-7        |

| check | mode    |        | seen        |
| ----- | ------- | ------ | ----------- |
| text  | precise | passed | as expected |

* default: rope 3: error 5.00e-1, bound 1.0e-6: element 1

2 passed, 1 failed: this device or its driver computes wrong values
";
        assert_eq!(report.to_markdown(), expected);
    }

    #[test]
    fn an_examination_of_nothing_is_not_healthy() {
        assert!(!Report::default().is_healthy());
    }
}

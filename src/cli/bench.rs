//! `tl bench`: how fast a model runs, or the `bench` blocks of a program.

mod blocks;
mod csv;

use std::path::Path;
use std::time::Instant;

use tensorlogic::bench::{Report, Verdict, against_baseline, markdown, plot};
use tensorlogic::engine::{Backend, BenchRequest, LoadedModel, measure};
use tensorlogic::graph::{TuneReport, Tuned};
use tensorlogic::output::{FileKind, Output, OutputError};

use super::args::BenchArgs;
use super::columns::aligned;
use super::error::{CliError, CliResult};
use super::setup::{load, output};
use super::terminal::{self, Mark};

pub fn run(args: &BenchArgs) -> CliResult {
    if args.runs == 0 {
        return Err(CliError::usage("-r 0 measures nothing: give at least 1"));
    }
    if args.file().is_some_and(|f| f.extension().is_some_and(|e| e == "tl")) {
        return blocks::run(args);
    }
    let tests = tests(args);
    if tests.is_empty() && args.batch.is_empty() {
        return Err(CliError::usage("-p 0 -n 0 measures nothing: give one of them"));
    }
    if tests.len() > 1 && (args.baseline.is_some() || args.plot.is_some()) {
        return Err(CliError::usage("--baseline and --plot take one number of -p and one of -n"));
    }
    // A baseline that cannot be read must not cost a measurement.
    let baseline = args.baseline.as_deref().map(read_baseline).transpose()?;
    let plots = args.plot.as_deref().map(|path| Plots::new(path, args)).transpose()?;
    let backend = args.compute.open()?;
    let loading_since = Instant::now();
    let model = load(args.file(), &backend, &args.compute.load_request(Some(&args.window)))?;
    let mut reports = Vec::new();
    // Batches alone are a test without tokens.
    for (i, &(prompt_tokens, new_tokens)) in if tests.is_empty() { &[(0, 0)][..] } else { &tests }.iter().enumerate() {
        let request = BenchRequest {
            prompt_tokens,
            new_tokens,
            runs: args.runs,
            kernels: args.kernels || args.plot.is_some(),
            over_context: args.plot.is_some(),
            recording: args.recording,
            // Once is enough for what does not depend on the numbers of tokens.
            batches: if i == 0 { args.batch.clone() } else { Vec::new() },
            tune: args.tune && i == 0,
        };
        reports.push(measured(&model, &backend, &request, loading_since)?);
    }
    show(args, &reports)?;
    let [report, ..] = &reports[..] else { return Ok(()) };
    if let Some(plots) = &plots {
        plots.draw(report)?;
    }
    if let Some(baseline) = baseline {
        let text = changes(&baseline, report);
        // The object on stdout stays one object.
        if args.json {
            terminal::error(text.trim_end());
        } else {
            terminal::say_text(text)?;
        }
    }
    Ok(())
}

/// What is measured together: prompt tokens and new ones. One number of each is one test, several are a test each, as in llama-bench.
fn tests(args: &BenchArgs) -> Vec<(usize, usize)> {
    let tests = match (&args.prompt_tokens[..], &args.new_tokens[..]) {
        (&[prompt], &[new]) => vec![(prompt, new)],
        (prompts, news) => prompts.iter().map(|&n| (n, 0)).chain(news.iter().map(|&n| (0, n))).collect(),
    };
    tests.into_iter().filter(|test| *test != (0, 0)).collect()
}

fn measured(model: &LoadedModel, backend: &Backend, request: &BenchRequest, loading_since: Instant) -> Result<Report, CliError> {
    let mut mark = Mark::new();
    let report = measure(model, backend, request, loading_since, |what| mark.show(&format!("measuring: {what}")));
    mark.clear();
    let report = report?;
    if request.tune {
        terminal::note(
            report.tuning.as_ref().map_or_else(|| "note: this backend has no shapes to choose or cannot time them".to_owned(), tuned),
        );
    }
    if request.kernels && report.kernels.is_empty() {
        terminal::note("note: this backend cannot time its kernels one by one");
    }
    if request.recording && report.step_paths.is_empty() {
        terminal::note("note: this backend runs no recordings");
    }
    Ok(report)
}

/// What tuning chose, work by work.
fn tuned(report: &TuneReport) -> String {
    let header = ["tuned", "before", "after", "shape"].map(str::to_owned).to_vec();
    let micros = |t: std::time::Duration| format!("{:.1} µs", t.as_secs_f64() * 1e6);
    let row =
        |t: &Tuned| vec![t.work.clone(), micros(t.before), micros(t.after), t.shape.clone().unwrap_or_else(|| "the default".to_owned())];
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(report.works.iter().map(row)).collect();
    let kept = match &report.kept {
        Ok(path) => format!("kept in {path}"),
        Err(why) => format!("not kept for later starts: {why}"),
    };
    format!("{}{kept}", aligned(&rows, 1..3))
}

fn show(args: &BenchArgs, reports: &[Report]) -> CliResult {
    if args.csv {
        return terminal::say_text(csv::csv(reports));
    }
    if args.json && reports.len() > 1 {
        return terminal::say(serde_json::to_string_pretty(reports).map_err(CliError::failed)?);
    }
    for (i, report) in reports.iter().enumerate() {
        if args.json {
            terminal::say_text(report.to_json())?;
        } else {
            let page = markdown(report);
            terminal::say_text(if i > 0 { "\n" } else { "" })?;
            terminal::say_text(if args.markdown { page } else { plain(&page) })?;
        }
    }
    Ok(())
}

fn read_baseline(path: &Path) -> Result<Report, CliError> {
    let json = std::fs::read_to_string(path).map_err(|e| CliError::failed(format!("cannot read `{}`: {e}", path.display())))?;
    Report::from_json(&json).map_err(|e| CliError::failed(format!("`{}` {e}", path.display())))
}

/// Where the plots are written.
struct Plots {
    roofline: Output,
    /// Beside it, the speed over context lengths.
    over_context: Output,
}

impl Plots {
    /// # Errors
    /// When one of them would replace a file that is to stay.
    fn new(path: &Path, args: &BenchArgs) -> Result<Plots, OutputError> {
        let inputs = [args.file(), args.baseline.as_deref(), args.compute.arch.as_deref()];
        let plot = |path: &Path| {
            let output = output(path, args.force)?.of_kind(FileKind::SVG)?;
            inputs.into_iter().flatten().try_fold(output, |output, input| output.apart_from(input))
        };
        Ok(Plots { roofline: plot(path)?, over_context: plot(&path.with_extension("context.svg"))? })
    }

    fn draw(&self, report: &Report) -> CliResult {
        let write = |output: &Output, svg: String| -> CliResult {
            output.write_bytes(svg.as_bytes())?;
            terminal::note(format_args!("wrote {}", output.path().display()));
            Ok(())
        };
        match plot::roofline(report) {
            Some(svg) => write(&self.roofline, svg)?,
            None => terminal::note("note: no roofline, as nothing gives this device's bandwidth or the times of its kernels"),
        }
        let series = plot::Series { name: report.backend.clone(), points: report.decode_over_context.clone() };
        if let Some(svg) = plot::decode_over_context(&format!("{}: decode over context", report.model), &[series]) {
            write(&self.over_context, svg)?;
        }
        Ok(())
    }
}

/// What changed since a saved run, figure by figure.
fn changes(before: &Report, after: &Report) -> String {
    let header = ["against the baseline", "before", "now", "change", "spread", ""].map(str::to_owned).to_vec();
    let rows = against_baseline(before, after).into_iter().map(|change| {
        let verdict = match change.verdict {
            Verdict::Same => "same",
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Unknown => "measured once",
        };
        let figure = |v: f64| if v.abs() >= 10.0 { format!("{v:.1}") } else { format!("{v:.3e}") };
        vec![
            change.name,
            figure(change.before.median),
            figure(change.after.median),
            format!("{:+.1} %", change.relative * 100.0),
            change.spread.map_or("–".to_owned(), |spread| format!("{:.1} %", spread * 100.0)),
            verdict.to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    aligned(&rows, 1..5)
}

/// Markdown for a terminal: tables aligned, marks of emphasis gone.
fn plain(markdown: &str) -> String {
    let mut out = String::new();
    let mut table: Vec<Vec<String>> = Vec::new();
    for line in markdown.lines().chain([""]) {
        match line.strip_prefix('|').and_then(|l| l.strip_suffix('|')) {
            Some(cells) if cells.starts_with("---") => {}
            Some(cells) => table.push(cells.split('|').map(|c| c.trim().to_owned()).collect()),
            None => {
                out += &aligned(&std::mem::take(&mut table), 1..usize::MAX);
                out += &line.replace("**", "");
                out.push('\n');
            }
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_aligned_text() {
        let text = "**m** on cpu\n\n| | runs |\n|---|---|\n| prefill 8 | 12 |\n";
        assert_eq!(plain(text), "m on cpu\n\n           runs\nprefill 8    12\n");
    }
}

//! The `bench` blocks of a program.

use std::time::Instant;

use serde::Serialize;

use tensorlogic::bench::Summary;

use super::super::args::BenchArgs;
use super::super::columns::aligned;
use super::super::error::{CliError, CliResult};
use super::super::run::{interp, show};
use super::super::terminal::{self, ProgramOut};

/// What `--json` prints of a block, in a list. Stable.
#[derive(Serialize)]
struct Block {
    name: String,
    seconds: Summary,
}

pub fn run(args: &BenchArgs) -> CliResult {
    if args.kernels || args.csv || args.plot.is_some() || args.baseline.is_some() {
        return Err(CliError::usage(
            "--kernels, --csv, --plot and --baseline are for models; a program's blocks have --json and --markdown",
        ));
    }
    let Some(path) = args.file() else { return Err(CliError::usage("give a program: tl bench FILE.tl")) };
    let mut interp = interp(&args.compute, &[])?;
    let mut blocks = Vec::new();
    let filter = args.filter.as_deref().unwrap_or_default();
    let result = interp.run_benches(path, filter, |name, block| {
        // The first run compiles kernels.
        let mut seconds = Vec::with_capacity(args.runs);
        for run in 0..=args.runs {
            let start = Instant::now();
            if block().is_err() {
                return;
            }
            if run > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        blocks.push(Block { name: name.to_owned(), seconds: Summary::of(&seconds) });
    });
    let notes = std::mem::take(&mut interp.notes);
    show(&interp, &notes);
    if let Err(diagnostics) = result {
        ProgramOut::check()?;
        show(&interp, &diagnostics);
        return Err(CliError::Silent);
    }
    if blocks.is_empty() {
        return Err(CliError::failed(format!("`{}` has no `bench \"name\" {{ … }}` block that matches", path.display())));
    }
    if args.json {
        terminal::say(serde_json::to_string_pretty(&blocks).map_err(CliError::failed)?)?;
        return Ok(());
    }
    let header = ["bench", "runs", "min ms", "median ms", "max ms"].map(str::to_owned).to_vec();
    let milliseconds = |seconds: f64| format!("{:.3}", seconds * 1e3);
    let row = |b: &Block| {
        let s = b.seconds;
        vec![b.name.clone(), s.n.to_string(), milliseconds(s.min), milliseconds(s.median), milliseconds(s.max)]
    };
    if args.markdown {
        terminal::say(format_args!("| {} |\n|---|---|---|---|---|", header.join(" | ")))?;
        for block in &blocks {
            terminal::say(format_args!("| {} |", row(block).join(" | ")))?;
        }
    } else {
        let rows: Vec<Vec<String>> = std::iter::once(header).chain(blocks.iter().map(row)).collect();
        terminal::say_text(aligned(&rows, 1..5))?;
    }
    Ok(())
}

//! `tl run` and `tl test`: programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensorlogic::diag::{Diagnostic, pictures};
use tensorlogic::engine::{Backend, EngineHost};
use tensorlogic::lang::{Interp, Options};

use super::args::{ComputeArgs, RunArgs, TestArgs};
use super::error::{CliError, CliResult};
use super::setup::refuse_model;
use super::terminal::ProgramOut;
use super::{interrupt, terminal};

/// An interpreter on a backend of its own that prints on stdout.
pub(super) fn interp(compute: &ComputeArgs, args: &[String]) -> Result<Interp, CliError> {
    interp_on(&Arc::new(compute.open()?), compute, args, Box::new(ProgramOut))
}

/// An interpreter on `backend` that prints to `out`.
pub(super) fn interp_on(
    backend: &Arc<Backend>,
    compute: &ComputeArgs,
    args: &[String],
    out: Box<dyn Write + Send>,
) -> Result<Interp, CliError> {
    let options = Options {
        executor: Some(backend.executor.clone()),
        host: Some(Box::new(EngineHost::new(backend.clone(), compute.load_request(None)))),
        out: Some(out),
        args: args.to_vec(),
        interrupt: Some(Arc::clone(&interrupt::install()?)),
    };
    Interp::new(options).map_err(|diagnostics| CliError::Failed(format!("error: the library is damaged: {}", diagnostics.len())))
}

pub fn run(args: &RunArgs) -> CliResult {
    refuse_model(&args.file)?;
    if !args.file.exists() && args.file.extension().is_none_or(|e| e != "tl") {
        let shown = args.file.display();
        return Err(CliError::failed(format!("there is no program `{shown}`: `tl run FILE.tl` runs one, `tl chat FILE` talks to a model")));
    }
    let mut interp = interp(&args.compute, &args.args)?;
    let result = interp.run_file(&args.file);
    let notes = std::mem::take(&mut interp.notes);
    show(&interp, &notes);
    match result {
        Ok(()) => Ok(()),
        Err(diagnostics) => {
            ProgramOut::check()?;
            show(&interp, &diagnostics);
            Err(CliError::Silent)
        }
    }
}

pub fn test(args: &TestArgs) -> CliResult {
    let mut files = Vec::new();
    for path in &args.paths {
        collect(path, &mut files)?;
    }
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let mut interp = interp(&args.compute, &[])?;
        match interp.run_tests(&file, args.filter.as_deref().unwrap_or_default()) {
            Ok(outcomes) => {
                for outcome in outcomes {
                    match outcome.error {
                        None => {
                            passed += 1;
                            terminal::say(format_args!("{}: {} ok", file.display(), outcome.name))?;
                        }
                        Some(error) => {
                            ProgramOut::check()?;
                            failed += 1;
                            terminal::say(format_args!("{}: {} FAILED", file.display(), outcome.name))?;
                            show(&interp, &[error]);
                        }
                    }
                }
            }
            Err(diagnostics) => {
                failed += 1;
                terminal::say(format_args!("{}: FAILED", file.display()))?;
                show(&interp, &diagnostics);
            }
        }
    }
    terminal::say(format_args!("{passed} passed, {failed} failed"))?;
    if failed > 0 { Err(CliError::Silent) } else { Ok(()) }
}

/// A file itself, or every `.tl` file below a folder, in the order of their names.
pub(super) fn collect(path: &Path, files: &mut Vec<PathBuf>) -> CliResult {
    refuse_model(path)?;
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let cannot = |e: std::io::Error| CliError::failed(format!("cannot read `{}`: {e}", path.display()));
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path).map_err(cannot)?.flatten().map(|e| e.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|e| e == "tl") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

pub(super) fn show(interp: &Interp, diagnostics: &[Diagnostic]) {
    for picture in pictures(diagnostics, &interp.sources, terminal::color()) {
        terminal::error(picture.trim_end());
    }
}

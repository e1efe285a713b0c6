//! `tl trace`: the values of every named step, and the first step that differs from a reference.

mod subject;
mod table;
mod verdict;

use std::path::Path;
use std::sync::Arc;

use tensorlogic::output::{FileKind, Output};
use tensorlogic::trace::{Comparison, Reference, Tolerance, Trace, compare, diagnose, to_safetensors};

use super::args::{BackendArg, TraceArgs};
use super::error::{CliError, CliResult};
use super::setup::output;
use super::terminal;
use subject::{ModelSubject, On, ProgramSubject, Subject};

/// Said of every table: these are not the values of the run that a user sees.
const FUSION_OFF: &str = "fusion is off, so that every value can be seen; a plain run computes the same steps in fewer kernels";

pub fn run(args: &TraceArgs) -> CliResult {
    if args.runs == 0 {
        return Err(CliError::usage("--runs 0 runs nothing: give at least 1"));
    }
    if args.step == Some(0) {
        return Err(CliError::usage("--step 0: generated tokens are counted from 1; leave --step out for the prompt"));
    }
    let written = args.out.as_deref().map(|path| out(path, args)).transpose()?;
    // Of two backends the first is the one that is opened; `--backend` names neither.
    let backend = match args.compare_backends.as_deref() {
        None => args.compute.open()?,
        Some(&[first, _]) => args.compute.open_as(first)?,
        Some(other) => return Err(CliError::usage(format!("--compare-backends takes two, as vulkan,cpu, not {}", other.len()))),
    };
    let backend = Arc::new(backend);
    let reference = match args.reference.as_deref() {
        None | Some("exact") => None,
        Some(path) => Some(read_reference(path, args)?),
    };
    let subject: Box<dyn Subject> = if args.file.extension().is_some_and(|e| e == "tl") {
        Box::new(ProgramSubject::new(args, backend)?)
    } else {
        Box::new(ModelSubject::new(args, backend, reference.as_ref())?)
    };
    // The parts of a model are known once it is open.
    let written = match written {
        Some(output) => Some(subject.inputs().iter().try_fold(output, |output, input| output.apart_from(input))?),
        None => None,
    };
    show(&*subject, args, reference, written)
}

/// Where `--out` writes: no file that this command reads.
fn out(path: &Path, args: &TraceArgs) -> Result<Output, CliError> {
    let reference = args.reference.as_deref().map(Path::new);
    let inputs = [Some(&*args.file), reference, args.mapping.as_deref(), args.compute.arch.as_deref()];
    let output = output(path, args.force)?.of_kind(FileKind::SAFETENSORS)?;
    Ok(inputs.into_iter().flatten().try_fold(output, |output, input| output.apart_from(input))?)
}

fn read_reference(path: &str, args: &TraceArgs) -> Result<Reference, CliError> {
    let reference = Reference::from_file(path.as_ref()).map_err(CliError::failed)?;
    match &args.mapping {
        None => Ok(reference),
        Some(mapping) => {
            let json =
                std::fs::read_to_string(mapping).map_err(|e| CliError::failed(format!("cannot read `{}`: {e}", mapping.display())))?;
            reference.with_mapping(&json).map_err(CliError::failed)
        }
    }
}

fn show(subject: &dyn Subject, args: &TraceArgs, reference: Option<Reference>, written: Option<Output>) -> CliResult {
    let traces = subject.trace(On::Own)?;
    if let Some(output) = written {
        let note = format!("wrote {}", output.path().display());
        to_safetensors(&joined(&traces), output).map_err(CliError::failed)?;
        terminal::note(note);
    }
    terminal::say(subject.title())?;
    terminal::say(FUSION_OFF)?;
    let mut agrees = true;
    if let Some(&[_, second]) = args.compare_backends.as_deref() {
        agrees &= against_backend(subject, &traces, args, second)?;
    } else if args.reference.as_deref() == Some("exact") {
        let exact = subject.trace(On::Exact)?;
        let references = exact.iter().map(|t| called("the definition in f64", t));
        agrees &= against(subject, &traces, references.collect(), Tolerance::of(subject.rounding()))?;
    } else if let Some(reference) = reference {
        // One layer's table lacks the others' steps.
        let is_step = |name: &str| args.layer.is_some() || traces.iter().any(|trace| trace.step(name).is_some());
        for name in reference.mapped().filter(|name| !is_step(name)) {
            terminal::note(format_args!("note: the mapping names `{name}`, and no step is called that"));
        }
        let references = vec![reference; traces.len()];
        agrees &= against(subject, &traces, references, Tolerance::of(subject.rounding()))?;
    } else {
        for trace in &traces {
            terminal::say_text(table::values(trace, args.every_op, &|origin| subject.place(origin)))?;
        }
    }
    if args.runs > 1 {
        agrees &= repeat(subject, &traces, args.runs)?;
    }
    if agrees && !subject.failed() { Ok(()) } else { Err(CliError::Silent) }
}

/// The steps of several runs as one trace, for a file: their names differ already.
fn joined(traces: &[Trace]) -> Trace {
    let mut all = traces[0].clone();
    all.steps.extend(traces[1..].iter().flat_map(|t| t.steps.iter().cloned()));
    all
}

fn against_backend(subject: &dyn Subject, traces: &[Trace], args: &TraceArgs, second: BackendArg) -> Result<bool, CliError> {
    let other = args.compute.open_as(second)?;
    let theirs = subject.trace(On::Other(&other))?;
    let tolerance = Tolerance::of_pair(subject.rounding(), subject.rounding_on(&other));
    against(subject, traces, theirs.iter().map(Reference::from_trace).collect(), tolerance)
}

/// Prints each trace beside its reference, and what is to blame where they differ.
fn against(subject: &dyn Subject, traces: &[Trace], references: Vec<Reference>, tolerance: Tolerance) -> Result<bool, CliError> {
    let place = |origin| subject.place(origin);
    let (mut agrees, mut compared) = (true, 0);
    for (trace, reference) in traces.iter().zip(&references) {
        let comparison = compare(trace, reference, tolerance);
        compared += comparison.n_compared();
        terminal::say(verdict::heading(&comparison))?;
        match diagnose(trace, reference, &comparison) {
            Some(diagnosis) => {
                agrees = false;
                terminal::say_text(verdict::diagnosis(&comparison, &diagnosis, &place))?;
            }
            None if comparison.n_compared() > 0 => terminal::say_text(verdict::agreement(&comparison, subject.is_precise()))?,
            None => {}
        }
        terminal::say_text(verdict::notes(reference, &comparison))?;
        terminal::say_text(table::comparison(trace, reference, &comparison, &place))?;
    }
    if compared == 0 {
        terminal::say("nothing was compared: the reference names none of these steps; --mapping F.json says what it calls them")?;
        return Ok(false);
    }
    Ok(agrees)
}

/// Whether further runs give the same bits.
fn repeat(subject: &dyn Subject, first: &[Trace], runs: usize) -> Result<bool, CliError> {
    for run in 2..=runs {
        let again = subject.trace(On::Own)?;
        for (first, again) in first.iter().zip(&again) {
            let reference = called("run 1", first);
            let comparison: Comparison = compare(again, &reference, Tolerance::Bits);
            if let Some(diagnosis) = diagnose(again, &reference, &comparison) {
                terminal::say(format_args!("run {run} differs from run 1"))?;
                terminal::say_text(verdict::diagnosis(&comparison, &diagnosis, &|origin| subject.place(origin)))?;
                return Ok(false);
            }
        }
    }
    terminal::say(format_args!("{runs} runs are equal in every bit"))?;
    Ok(true)
}

/// The values of a trace under another name than its backend's.
fn called(name: &str, trace: &Trace) -> Reference {
    let mut reference = Reference::from_trace(trace);
    reference.name = name.to_owned();
    reference
}

//! The examination of a device: every kernel against its definition, the text of a small model, determinism, times.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::doctor::{Arithmetic, Mode, Report, cases, check};
use crate::graph::Sampling;
use crate::model::ChatSettings;
use crate::text::{Specials, TokenId};
use crate::trace::{Select, Trace};

use super::{Backend, BenchRequest, EngineError, LoadRequest, LoadedModel, TracePoint, demo, measure};

/// Times that a run is repeated for determinism.
const RUNS: usize = 3;
/// Drawn tokens of each.
const DRAWN: usize = 24;
/// The kernels' times by their timer against the step's by the host's clock. One pass a kernel costs more than a step does, gaps between
/// kernels cost less; a timer of the wrong unit is off by thousands.
const TIMER_FACTOR: f64 = 50.0;

/// Of the built-in model, where the build holds it.
const CHECKS: [&str; 3] = ["text", "determinism", "timing"];

/// Examines both modes. Only the cases and checks whose name holds `filter`; `on_progress` hears which.
///
/// # Errors
/// When a device cannot be opened. What fails on it is a finding.
pub fn examine(
    open: impl Fn(bool) -> Result<Backend, EngineError>,
    filter: Option<&str>,
    mut on_progress: impl FnMut(&str),
) -> Result<Report, EngineError> {
    let wanted = |name: &str| filter.is_none_or(|f| name.contains(f));
    let mut report = Report::default();
    for (name, arithmetic, precise) in [("default", Arithmetic::Fast, false), ("precise", Arithmetic::Precise, true)] {
        let backend = open(precise)?;
        if report.modes.is_empty() {
            report.device = backend.note.clone();
            report.fact("program", format!("tl {}, {} {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH));
            backend.facts.iter().for_each(|(name, value)| report.fact(name, value));
        }
        report.modes.push(Mode::new(name, &backend.note));
        for case in cases(arithmetic).iter().filter(|case| wanted(&case.name)) {
            on_progress(&case.name);
            let outcome = check(case, &mut *backend.executor.lock());
            report.count(&case.kernel(), &outcome);
        }
        for check in CHECKS.into_iter().filter(|check| demo::IS_BUILT_IN && wanted(check)) {
            on_progress(check);
            // A device that fails here is what this is for.
            let (passed, says) = whole(check, &backend).unwrap_or_else(|error| (false, error.to_string()));
            report.check(check, passed, says);
        }
    }
    Ok(report)
}

fn whole(check: &str, backend: &Backend) -> Result<(bool, String), EngineError> {
    let since = Instant::now();
    let model = LoadedModel::from_file(demo::open()?, backend, &LoadRequest::default())?;
    match check {
        "text" => text(&model),
        "determinism" => determinism(&model),
        _ => timing(&model, backend, since),
    }
}

/// The greedy answer of the built-in model is known to the letter.
fn text(model: &LoadedModel) -> Result<(bool, String), EngineError> {
    let settings = ChatSettings { sampling: Sampling::default(), max_tokens: 96 };
    let mut chat = model.chat(None, settings, None)?;
    let answer = chat.ask(demo::QUESTION, |_| ControlFlow::Continue(()))?;
    Ok(match answer.text.trim() == demo::ANSWER {
        true => (true, format!("the built-in model answers as it should, {} tokens", answer.timing.decode_tokens)),
        false => (false, format!("the built-in model answers `{}` instead of `{}`", answer.text.trim(), demo::ANSWER)),
    })
}

fn prompt(model: &LoadedModel) -> Result<Vec<TokenId>, EngineError> {
    Ok(model.tokenizer()?.encode(demo::QUESTION, Specials::Plain, true))
}

/// The same values in every bit of every step, and the same draws of the same seed.
fn determinism(model: &LoadedModel) -> Result<(bool, String), EngineError> {
    let ids = prompt(model)?;
    let point = TracePoint::of_prompt(ids.clone());
    let first = model.trace_values(&point, Select::Labelled, None)?;
    let sampling = Sampling { temperature: 1.0, seed: 7, ..Sampling::default() };
    let draw = || -> Result<Vec<TokenId>, EngineError> {
        let mut drawn = Vec::new();
        let keep = |id| {
            drawn.push(id);
            ControlFlow::Continue(())
        };
        model.generator(0)?.generate(&ids, sampling, DRAWN, |_| false, |_| ControlFlow::Continue(()), keep)?;
        Ok(drawn)
    };
    let drawn = draw()?;
    for run in 2..=RUNS {
        let again = model.trace_values(&point, Select::Labelled, None)?;
        if let Some(name) = first_other(&first, &again) {
            return Ok((false, format!("run {run} differs from run 1, first in {name}; `tl trace --runs {RUNS}` says more")));
        }
        if draw()? != drawn {
            return Ok((false, format!("run {run} draws other tokens than run 1, with one seed")));
        }
    }
    Ok((true, format!("{RUNS} runs equal in every bit of {} steps, and in {DRAWN} drawn tokens", first.steps.len())))
}

/// The first step whose bits differ.
fn first_other<'a>(a: &'a Trace, b: &Trace) -> Option<&'a str> {
    let differs = a.steps.iter().zip(&b.steps).find(|(a, b)| a.values.bytes() != b.values.bytes());
    differs.map(|(a, _)| a.name.as_str())
}

/// Whether clocks can be believed: times are positive, and those of a step's kernels fit the step's.
fn timing(model: &LoadedModel, backend: &Backend, since: Instant) -> Result<(bool, String), EngineError> {
    let request = BenchRequest {
        prompt_tokens: 32,
        new_tokens: 16,
        runs: RUNS,
        kernels: true,
        recording: false,
        batches: Vec::new(),
        over_context: false,
        tune: false,
    };
    let report = measure(model, backend, &request, since, |_| {})?;
    let speed = |phase: &Option<crate::bench::Phase>| phase.as_ref().map_or(0.0, |p| p.tokens_per_second.median);
    let (prefill, decode) = (speed(&report.prefill), speed(&report.decode));
    let mut says = format!("prefill {prefill:.0} tokens/s, decode {decode:.0} tokens/s");
    let mut plausible = prefill > 0.0 && decode > 0.0;
    if let Some(bandwidth) = report.bandwidth_bytes_per_second {
        plausible &= bandwidth.is_finite() && bandwidth > 0.0;
        says += &format!(", reads {:.1} GB/s", bandwidth / 1e9);
    }
    if let Some(by) = &report.kernels_timed_by {
        let ratio = report.kernels.iter().map(|k| k.seconds.median).sum::<f64>() * decode;
        let fits = (1.0 / TIMER_FACTOR..=TIMER_FACTOR).contains(&ratio);
        plausible &= fits;
        says += &format!(", kernels take {:.0} % of a step by {by}", ratio * 100.0);
        if !fits {
            says += ", which cannot be";
        }
    }
    Ok((plausible, says))
}

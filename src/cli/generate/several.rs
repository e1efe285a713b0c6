//! Several completions of one prompt: drawn, or the likeliest.

use std::io::{Write, stdout};
use std::ops::ControlFlow;

use serde::Serialize;

use tensorlogic::engine::LoadedModel;
use tensorlogic::graph::Sampling;
use tensorlogic::model::{BeamRequest, CompletionsRequest, Finish, Timing, complete};
use tensorlogic::text::{TokenId, Tokenizer};

use super::super::args::GenerateArgs;
use super::super::error::{CliError, CliResult};
use super::super::terminal::Mark;

/// What `--json` prints with `--n`: one object. Stable.
#[derive(Serialize)]
struct Completions {
    completions: Vec<super::Report>,
}

/// What `--json` prints with `--beams`: one object. Stable.
#[derive(Serialize)]
struct Beams {
    prompt_ids: Vec<u32>,
    /// The likeliest first.
    beams: Vec<BeamReport>,
}

#[derive(Serialize)]
struct BeamReport {
    /// The completion as text; null for a model without a tokenizer.
    text: Option<String>,
    ids: Vec<u32>,
    /// ln of the probability that the model draws exactly these tokens, with the one that ends them where one does.
    logprob: f64,
    /// `stop` or `length`.
    finish: &'static str,
}

/// Draws `n` completions, of which number i has the seed of the first plus i. The prompt is read once.
pub fn draw(
    args: &GenerateArgs,
    n: usize,
    model: &LoadedModel,
    tokenizer: Option<&Tokenizer>,
    prompt: &[TokenId],
    sampling: Sampling,
) -> CliResult {
    let mut scheduler = model.scheduler(n + 1)?;
    let ends = tokenizer.map_or_else(Vec::new, Tokenizer::eog_ids);
    let request = CompletionsRequest { prompt: prompt.to_vec(), n, sampling, max_tokens: args.max_tokens, ends };
    let mut mark = Mark::new();
    let (drawn, prefill) = complete(&mut scheduler, &request, |progress| {
        let (read, total) = (progress.prompt_read, prompt.len());
        match read < total {
            true => mark.show(&format!("reading the prompt: {read} of {total} tokens")),
            false => mark.show(&format!("{} of {n} completions", progress.done)),
        }
        ControlFlow::Continue(())
    })?;
    mark.clear();
    let mut out = stdout().lock();
    let mut completions = Vec::with_capacity(n);
    for (i, completion) in drawn.iter().enumerate() {
        let text = tokenizer.map(|tokenizer| text_of(tokenizer, &completion.ids));
        let ids: Vec<u32> = completion.ids.iter().map(|id| id.0).collect();
        if args.json {
            let finish = completion.finish.unwrap_or(Finish::Interrupted);
            let (decode_tokens, decode) = (ids.len(), completion.took);
            let timing = Timing { prefill_tokens: prompt.len(), prefill, decode_tokens, decode, ..Timing::default() };
            completions.push(super::report(text, prompt, ids, finish, &timing));
        } else {
            writeln!(out, "{}--- {} of {n}\n{}", if i > 0 { "\n" } else { "" }, i + 1, text.unwrap_or_else(|| listed(&ids)))?;
        }
    }
    if args.json {
        let json = serde_json::to_string_pretty(&Completions { completions }).map_err(CliError::failed)?;
        writeln!(out, "{json}")?;
    }
    Ok(out.flush()?)
}

/// Searches for the likeliest completions with so many beams.
pub fn search(args: &GenerateArgs, beams: usize, model: &LoadedModel, tokenizer: Option<&Tokenizer>, prompt: &[TokenId]) -> CliResult {
    let ends = tokenizer.map_or_else(Vec::new, Tokenizer::eog_ids);
    let request = BeamRequest { prompt: prompt.to_vec(), beams, max_tokens: args.max_tokens, ends };
    let mut mark = Mark::new();
    let found = model.beam_search(&request, |read, given| {
        match read < prompt.len() {
            true => mark.show(&format!("reading the prompt: {read} of {} tokens", prompt.len())),
            false => mark.show(&format!("{given} of {} tokens", args.max_tokens)),
        }
        ControlFlow::Continue(())
    })?;
    mark.clear();
    let mut out = stdout().lock();
    let mut reports = Vec::with_capacity(found.len());
    for (i, beam) in found.iter().enumerate() {
        let text = tokenizer.map(|tokenizer| text_of(tokenizer, &beam.ids));
        let ids: Vec<u32> = beam.ids.iter().map(|id| id.0).collect();
        if args.json {
            reports.push(BeamReport { text, ids, logprob: beam.logprob, finish: super::finish_name(beam.finish) });
        } else {
            let (space, n, text) = (if i > 0 { "\n" } else { "" }, found.len(), text.unwrap_or_else(|| listed(&ids)));
            writeln!(out, "{space}--- {} of {n}, logprob {:.3}\n{text}", i + 1, beam.logprob)?;
        }
    }
    if args.json {
        let beams = Beams { prompt_ids: prompt.iter().map(|id| id.0).collect(), beams: reports };
        let json = serde_json::to_string_pretty(&beams).map_err(CliError::failed)?;
        writeln!(out, "{json}")?;
    }
    Ok(out.flush()?)
}

fn listed(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn text_of(tokenizer: &Tokenizer, ids: &[TokenId]) -> String {
    let mut decoder = tokenizer.continuation_decoder();
    let mut text: String = ids.iter().filter_map(|&id| decoder.push(id)).collect();
    text.extend(decoder.finish());
    text
}

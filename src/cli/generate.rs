//! `tl generate`: raw completion.

mod several;

use std::io::{Write, stdout};
use std::ops::ControlFlow;

use serde::Serialize;

use tensorlogic::model::{Finish, Timing};
use tensorlogic::text::{Specials, TokenId};

use super::args::GenerateArgs;
use super::draft::stats;
use super::error::{CliError, CliResult};
use super::setup::load;
use super::terminal::{self, Mark};

/// What `--json` prints: one object. Stable.
#[derive(Serialize)]
struct Report {
    /// The completion as text; null for a model without a tokenizer.
    text: Option<String>,
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
    /// `stop`, `length` or `interrupted`.
    finish: &'static str,
    prefill_seconds: f64,
    decode_seconds: f64,
    decode_tokens_per_second: f64,
    /// With `--draft`: tokens that were drafted, and those of them that the completion has.
    #[serde(skip_serializing_if = "Option::is_none")]
    drafted: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<usize>,
}

pub fn run(args: &GenerateArgs) -> CliResult {
    let path = args.model.path().ok_or_else(|| CliError::usage("no model is named: type `tl generate MODEL --prompt TEXT`"))?;
    let backend = args.compute.open()?;
    let model = load(Some(path), &backend, &args.compute.load_request(Some(&args.window)))?;
    let sampling = model.sampling(&args.sampling.overrides())?;
    let tokenizer = model.tokenizer();
    let prompt: Vec<TokenId> = match (&args.tokens, &args.prompt) {
        (Some(ids), _) => ids.iter().map(|&id| TokenId(id)).collect(),
        (None, prompt) => {
            let tokenizer = tokenizer.as_ref().map_err(CliError::failed)?;
            tokenizer.encode(prompt.as_deref().unwrap_or_default(), Specials::Plain, true)
        }
    };
    if let Some(id) = prompt.iter().find(|id| id.0 as usize >= model.config.vocab_len) {
        return Err(CliError::usage(format!("token {} is outside of the vocabulary of {}", id.0, model.config.vocab_len)));
    }
    let mut generator = model.generator(0)?;
    let window = generator.context().spec().window;
    if prompt.len() > window {
        return Err(CliError::failed(format!(
            "the prompt has {} tokens, the window {window}: give --ctx {} or a shorter prompt",
            prompt.len(),
            prompt.len()
        )));
    }
    let tokenizer = tokenizer.ok();
    if let Some(beams) = args.beams {
        drop(generator);
        return several::search(args, beams, &model, tokenizer.as_deref(), &prompt);
    }
    if let Some(n) = args.completions {
        drop(generator);
        return several::draw(args, n, &model, tokenizer.as_deref(), &prompt, sampling);
    }
    args.draft.set(&mut generator, &model, &backend, &args.compute, &args.window)?;
    let mut decoder = tokenizer.as_ref().map(|t| t.continuation_decoder());
    let (mut ids, mut text) = (Vec::new(), String::new());
    let mut mark = Mark::new();
    let mut broken: Result<(), std::io::Error> = Ok(());
    let mut out = stdout().lock();
    let total = prompt.len();
    let mark_cell = std::cell::RefCell::new(&mut mark);
    let (finish, timing) = generator.generate(
        &prompt,
        sampling,
        args.max_tokens,
        |id| tokenizer.as_ref().is_some_and(|t| t.is_eog(id)),
        |fed| {
            mark_cell.borrow_mut().show(&format!("reading the prompt: {fed} of {total} tokens"));
            ControlFlow::Continue(())
        },
        |id| {
            mark_cell.borrow_mut().clear();
            ids.push(id.0);
            let piece = match &mut decoder {
                Some(decoder) => decoder.push(id),
                None => Some(format!("{}{}", if ids.len() > 1 { "," } else { "" }, id.0)),
            };
            if let Some(piece) = piece {
                text.push_str(&piece);
                if !args.json
                    && let Err(error) = out.write_all(piece.as_bytes()).and_then(|()| out.flush())
                {
                    broken = Err(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        },
    )?;
    broken?;
    if let Some(rest) = decoder.as_mut().and_then(|d| d.finish()) {
        text.push_str(&rest);
        if !args.json {
            out.write_all(rest.as_bytes())?;
        }
    }
    if args.json {
        let mut report = report(tokenizer.is_some().then_some(text), &prompt, ids, finish, &timing);
        if args.draft.draft.is_some() {
            (report.drafted, report.accepted) = (Some(timing.drafted), Some(timing.accepted));
        }
        let json = serde_json::to_string_pretty(&report).map_err(CliError::failed)?;
        writeln!(out, "{json}")?;
    } else {
        writeln!(out)?;
    }
    out.flush()?;
    if args.stats {
        terminal::note(stats(&timing));
    }
    Ok(())
}

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Interrupted => "interrupted",
    }
}

fn report(text: Option<String>, prompt: &[TokenId], ids: Vec<u32>, finish: Finish, timing: &Timing) -> Report {
    let decode = timing.decode.as_secs_f64();
    Report {
        text,
        prompt_ids: prompt.iter().map(|id| id.0).collect(),
        finish: finish_name(finish),
        prefill_seconds: timing.prefill.as_secs_f64(),
        decode_seconds: decode,
        decode_tokens_per_second: if decode > 0.0 { ids.len().saturating_sub(1) as f64 / decode } else { 0.0 },
        ids,
        drafted: None,
        accepted: None,
    }
}

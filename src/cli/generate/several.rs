//! Several completions of one prompt at a time.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use serde::Serialize;

use tensorlogic::engine::LoadedModel;
use tensorlogic::graph::Sampling;
use tensorlogic::model::{Event, Finish, Request, SequenceId, Timing};
use tensorlogic::text::{TokenId, Tokenizer};

use super::super::args::GenerateArgs;
use super::super::error::{CliError, CliResult};
use super::super::terminal::Mark;

/// What `--json` prints with `--n`: one object. Stable.
#[derive(Serialize)]
struct Completions {
    completions: Vec<super::Report>,
}

/// An answer on its way.
#[derive(Default)]
struct Answer {
    ids: Vec<TokenId>,
    finish: Option<Finish>,
    took: Duration,
}

/// Draws `n` completions, of which number i has the seed of the first plus i. The prompt is read once.
pub fn run(
    args: &GenerateArgs,
    n: usize,
    model: &LoadedModel,
    tokenizer: Option<&Tokenizer>,
    prompt: &[TokenId],
    sampling: Sampling,
) -> CliResult {
    let mut scheduler = model.scheduler(n + 1)?;
    let ends: Vec<TokenId> =
        tokenizer.map_or_else(Vec::new, |t| (0..model.config.vocab_len as u32).map(TokenId).filter(|&id| t.is_eog(id)).collect());
    let request = |i: usize| Request {
        ids: prompt.to_vec(),
        sampling: Sampling { seed: sampling.seed.wrapping_add(i as u32), ..sampling },
        max_tokens: args.max_tokens,
        ends: ends.clone(),
    };
    let mut mark = Mark::new();
    let start = Instant::now();
    // The last token is each completion's own: what it draws stands behind it.
    let shared = prompt.len().saturating_sub(1);
    let base = match shared {
        0 => None,
        _ => Some(scheduler.add(Request { ids: prompt[..shared].to_vec(), max_tokens: 1, ..request(0) })?),
    };
    while base.is_some_and(|base| scheduler.prompt_left(base) > 0) {
        let left = base.map_or(0, |base| scheduler.prompt_left(base));
        mark.show(&format!("reading the prompt: {} of {} tokens", prompt.len() - left, prompt.len()));
        scheduler.step()?;
    }
    let mut answers: BTreeMap<SequenceId, Answer> = BTreeMap::new();
    for i in 0..n {
        let sequence = match base {
            Some(base) => scheduler.fork(base, shared, request(i))?,
            None => scheduler.add(request(i))?,
        };
        answers.insert(sequence, Answer::default());
    }
    if let Some(base) = base {
        scheduler.cancel(base);
    }
    let prefill = start.elapsed();
    let mut n_done = 0;
    while !scheduler.is_empty() {
        for event in scheduler.step()? {
            match event {
                Event::Token { sequence, id } => answers.entry(sequence).or_default().ids.push(id),
                Event::End { sequence, finish } => {
                    let answer = answers.entry(sequence).or_default();
                    (answer.finish, answer.took) = (Some(finish), start.elapsed().saturating_sub(prefill));
                    n_done += 1;
                }
                Event::Failed { reason, .. } => {
                    return Err(CliError::failed(format!("{reason}: find the first step without numbers with `tl trace MODEL`")));
                }
            }
        }
        mark.show(&format!("{n_done} of {n} completions"));
    }
    mark.clear();
    let timing = |answer: &Answer| {
        let (decode_tokens, decode) = (answer.ids.len(), answer.took);
        Timing { prefill_tokens: prompt.len(), prefill, decode_tokens, decode, ..Timing::default() }
    };
    let mut out = stdout().lock();
    let mut completions = Vec::with_capacity(n);
    for (i, answer) in answers.values().enumerate() {
        let text = tokenizer.map(|tokenizer| text_of(tokenizer, &answer.ids));
        let ids: Vec<u32> = answer.ids.iter().map(|id| id.0).collect();
        if args.json {
            let finish = answer.finish.unwrap_or(Finish::Interrupted);
            completions.push(super::report(text, prompt, ids, finish, &timing(answer)));
        } else {
            let text = text.unwrap_or_else(|| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
            writeln!(out, "{}--- {} of {n}\n{text}", if i > 0 { "\n" } else { "" }, i + 1)?;
        }
    }
    if args.json {
        let json = serde_json::to_string_pretty(&Completions { completions }).map_err(CliError::failed)?;
        writeln!(out, "{json}")?;
    }
    Ok(out.flush()?)
}

fn text_of(tokenizer: &Tokenizer, ids: &[TokenId]) -> String {
    let mut decoder = tokenizer.continuation_decoder();
    let mut text: String = ids.iter().filter_map(|&id| decoder.push(id)).collect();
    text.extend(decoder.finish());
    text
}

//! `tl tokenize`: text to ids.

use std::io::{Read, Write, stdin, stdout};

use serde::Serialize;

use tensorlogic::text::{Specials, Tokenizer};

use super::args::TokenizeArgs;
use super::error::{CliError, CliResult};
use super::setup::open_model;

/// What `--json` prints: one object. Stable.
#[derive(Serialize)]
struct Report {
    ids: Vec<u32>,
    /// The vocabulary's text of each id.
    tokens: Vec<String>,
}

/// More text on standard input is refused.
const TEXT_BYTES_MAX: u64 = 256 << 20;

pub fn run(args: &TokenizeArgs) -> CliResult {
    let file = open_model(&args.model, false)?;
    let tokenizer = Tokenizer::from_model(&file).map_err(CliError::failed)?;
    let text = match (&args.text, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).map_err(|e| CliError::failed(format!("cannot read `{}`: {e}", path.display())))?
        }
        (None, None) => {
            let mut text = String::new();
            let mut input = stdin().lock().take(TEXT_BYTES_MAX + 1);
            input.read_to_string(&mut text).map_err(|e| CliError::failed(format!("cannot read standard input: {e}")))?;
            if text.len() as u64 > TEXT_BYTES_MAX {
                return Err(CliError::failed(format!("standard input has more than {TEXT_BYTES_MAX} bytes; give it in parts")));
            }
            text
        }
    };
    let specials = if args.special { Specials::Parsed } else { Specials::Plain };
    let ids = tokenizer.encode(&text, specials, args.special);
    let mut out = stdout().lock();
    if args.json {
        let tokens = ids.iter().map(|id| tokenizer.token_text(*id).unwrap_or("").to_owned()).collect();
        let report = Report { ids: ids.iter().map(|id| id.0).collect(), tokens };
        writeln!(out, "{}", serde_json::to_string(&report).map_err(CliError::failed)?)?;
    } else if args.ids {
        let line: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
        writeln!(out, "{}", line.join(","))?;
    } else {
        for id in &ids {
            writeln!(out, "{:>7}  {:?}", id.0, tokenizer.token_text(*id).unwrap_or(""))?;
        }
    }
    Ok(out.flush()?)
}

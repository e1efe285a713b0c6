//! `tl fmt`: one layout for programs.

use std::path::PathBuf;

use tensorlogic::diag::pictures;
use tensorlogic::output::Output;
use tensorlogic::source::SourceMap;

use super::error::{CliError, CliResult};
use super::run::collect;
use super::terminal;

pub fn run(paths: &[PathBuf], check: bool) -> CliResult {
    let mut would_change = false;
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    for path in &files {
        let text = std::fs::read_to_string(path).map_err(|e| CliError::failed(format!("cannot read `{}`: {e}", path.display())))?;
        let formatted = tensorlogic::syntax::format(&text).map_err(|diagnostics| {
            let mut sources = SourceMap::new();
            sources.add(&path.display().to_string(), &text);
            CliError::Failed(pictures(&diagnostics, &sources, terminal::color()).join("\n"))
        })?;
        if formatted != text {
            would_change = true;
            if !check {
                Output::from(path).write_bytes(formatted.as_bytes())?;
            }
            terminal::say(path.display())?;
        }
    }
    if check && would_change { Err(CliError::Silent) } else { Ok(()) }
}

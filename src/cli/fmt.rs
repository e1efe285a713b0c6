//! `tl fmt`: one layout for programs.

use std::path::PathBuf;

use crate::source::SourceMap;

use super::error::{CliError, CliResult};
use super::terminal;

pub fn run(paths: &[PathBuf], check: bool) -> CliResult {
    let mut would_change = false;
    for path in paths {
        let cannot = |what: &str, e: std::io::Error| CliError::failed(format!("cannot {what} `{}`: {e}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| cannot("read", e))?;
        let formatted = crate::syntax::format(&text).map_err(|diagnostics| {
            let mut sources = SourceMap::new();
            sources.add(&path.display().to_string(), &text);
            let drawn: Vec<String> = diagnostics.iter().map(|d| d.render(&sources, terminal::color())).collect();
            CliError::Failed(drawn.join("\n"))
        })?;
        if formatted != text {
            would_change = true;
            if !check {
                std::fs::write(path, formatted).map_err(|e| cannot("write", e))?;
            }
            terminal::say(path.display())?;
        }
    }
    if check && would_change { Err(CliError::Silent) } else { Ok(()) }
}

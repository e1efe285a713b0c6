//! `tl doc`: the documentation of the library's functions, both built-in ones and those written in the language.

use tensorlogic::lang::doc::{DocEntry, documentation, lookup, markdown};

use super::error::{CliError, CliResult};
use super::terminal;

pub fn run(name: Option<&str>) -> CliResult {
    let Some(name) = name else { return list() };
    let found = lookup(name);
    if found.is_empty() {
        return Err(CliError::failed(format!("nothing is documented under `{name}`; `tl doc` lists what is")));
    }
    for DocEntry { signature, doc, source, .. } in &found {
        let doc = doc.replace('\n', "\n    ");
        terminal::say(format_args!("{signature}\n    {doc}"))?;
        if let Some(source) = source {
            terminal::say(format_args!("\n{source}"))?;
        }
    }
    Ok(())
}

/// The library as a page.
pub fn page() -> CliResult {
    terminal::say_text(markdown())
}

/// Every function by section.
fn list() -> CliResult {
    let mut section = String::new();
    for entry in documentation() {
        if entry.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            terminal::say(format_args!("{gap}{}:", entry.section))?;
            section = entry.section;
        }
        terminal::say(format_args!("  {}", entry.signature))?;
    }
    Ok(())
}

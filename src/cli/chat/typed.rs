//! What the line editor of a chat session knows: commands and paths for Tab, and that a message between `"""` goes on.

use std::path::Path;

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::session::{COMMANDS, SETTINGS};

/// Stands before and after a message of several lines.
const QUOTES: &str = "\"\"\"";

pub struct Typed;

/// The message without the quotes around it.
pub fn unquoted(line: &str) -> &str {
    let Some(rest) = line.trim().strip_prefix(QUOTES) else { return line };
    rest.strip_suffix(QUOTES).unwrap_or(rest).trim()
}

fn is_open(line: &str) -> bool {
    line.trim_start().strip_prefix(QUOTES).is_some_and(|rest| !rest.contains(QUOTES))
}

/// Where the word to be completed begins, and what it may become.
fn candidates(line: &str) -> (usize, Vec<String>) {
    let Some(command) = line.strip_prefix('/') else { return (line.len(), Vec::new()) };
    let of = |names: &[&str], typed: &str| -> Vec<String> {
        names.iter().filter(|name| name.starts_with(typed)).map(|name| (*name).to_owned()).collect()
    };
    match command.split_once(' ') {
        None => (1, of(COMMANDS, command)),
        Some(("set", rest)) if !rest.contains(' ') => (line.len() - rest.len(), of(SETTINGS, rest)),
        Some(("save" | "load", rest)) => {
            let path = rest.rsplit(' ').next().unwrap_or(rest);
            (line.len() - path.len(), paths(path))
        }
        Some(_) => (line.len(), Vec::new()),
    }
}

/// The files and folders that a path may go on to.
fn paths(typed: &str) -> Vec<String> {
    let (folder, start) = typed.rfind('/').map_or(("", typed), |at| typed.split_at(at + 1));
    let Ok(entries) = std::fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) }) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| name.starts_with(start))?;
            Some(format!("{folder}{name}{}", if entry.path().is_dir() { "/" } else { "" }))
        })
        .collect();
    found.sort();
    found
}

impl Helper for Typed {}

impl Hinter for Typed {
    type Hint = String;
}

impl Highlighter for Typed {}

impl Validator for Typed {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_open(ctx.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Typed {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(candidates(&line[..at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_settings_and_paths_are_completed() {
        assert_eq!(candidates("/re"), (1, vec!["regen".to_owned()]));
        assert_eq!(candidates("/set temp"), (5, vec!["temperature".to_owned()]));
        assert_eq!(candidates("re"), (2, vec![]));
        assert_eq!(candidates("/set temperature 0"), (18, vec![]));
        let root = env!("CARGO_MANIFEST_DIR");
        assert_eq!(candidates(&format!("/load {root}/Cargo.t")), (6, vec![format!("{root}/Cargo.toml")]));
        assert_eq!(candidates(&format!("/save --force {root}/sr")), (14, vec![format!("{root}/src/")]));
    }

    #[test]
    fn three_quotes_hold_a_message_open() {
        assert!(is_open("\"\"\"one\ntwo"));
        assert!(!is_open("\"\"\"one\ntwo\"\"\""));
        assert!(!is_open("one"));
        assert_eq!(unquoted("\"\"\"\none\ntwo\n\"\"\""), "one\ntwo");
        assert_eq!(unquoted("\"quoted\""), "\"quoted\"");
    }
}

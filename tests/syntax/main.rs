//! The front end, seen from outside: text in, tree and diagnostics out.

// The lint's exception for tests does not reach the functions that tests share.
#![allow(clippy::unwrap_used)]

mod errors;
mod fmt;
mod lexis;
mod rules;
mod soup;
mod traps;
mod tree;

use tensorlogic::diag::Color;
use tensorlogic::source::SourceMap;
use tensorlogic::syntax::{dump, parse};

/// Parses a text without errors and compares its tree, one statement a line.
#[track_caller]
fn check(input: &str, expected: &str) {
    let mut sources = SourceMap::new();
    let file = sources.add("test.tl", input);
    let (ast, diagnostics) = parse(file, input);
    let shown: String = diagnostics.iter().map(|diagnostic| diagnostic.render(&sources, Color::Never)).collect();
    assert!(shown.is_empty(), "{input}\n{shown}");
    let expected: String = expected.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(dump(&ast), expected, "the tree of:\n{input}");
}

/// Parses a text and compares its errors: a line is `line:column message`.
#[track_caller]
fn check_errors(input: &str, expected: &[&str]) {
    let mut sources = SourceMap::new();
    let file = sources.add("test.tl", input);
    let (_, diagnostics) = parse(file, input);
    let found = diagnostics.iter().map(|diagnostic| diagnostic.one_line(&sources).replace("test.tl:", "").replace(": error:", ""));
    assert_eq!(found.collect::<Vec<_>>(), expected, "the errors of:\n{input}");
}

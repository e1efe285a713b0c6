//! The language, as data: every `.tl` file under `tests/lang` runs on the definition of the ops, and what it prints or reports must be
//! what its comments say.
//!
//! `// Output:` at the end of a file opens a block of comments with the exact output. `// Error: 3:9 message` (and `// Hint: text`) says what
//! is reported instead, in order. `TL_BLESS=1` rewrites both.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::fs;
use std::path::{Path, PathBuf};

use tensorlogic::diag::Diagnostic;
use tensorlogic::lang::{Interp, Options, SharedExecutor, on_deep_stack};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::source::SourceMap;

use printed::Printed;

#[path = "support/printed.rs"]
mod printed;

#[test]
fn programs_print_and_report_what_their_comments_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lang");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 20, "only {} programs found", files.len());
    let bless = std::env::var_os("TL_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        let (program, expected) = split(&text);
        let found = on_deep_stack(|| outcome(path, program)).unwrap();
        if found != expected {
            if bless {
                fs::write(path, format!("{program}{found}")).unwrap();
            } else {
                wrong.push(format!("--- {}\nexpected:\n{expected}\nfound:\n{found}", path.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} programs (TL_BLESS=1 accepts):\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

/// All programs but those in folders named `lib`, which others import.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if !path.ends_with("lib") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|e| e == "tl") {
            files.push(path);
        }
    }
}

/// The program, and the comments at its end that say what it does.
fn split(text: &str) -> (&str, &str) {
    let starts = ["// Output:", "// Error: ", "// Hint: ", "// Note: "];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if starts.iter().any(|s| line.starts_with(s)) {
            return text.split_at(at);
        }
        at += line.len();
    }
    (text, "")
}

fn outcome(path: &Path, program: &str) -> String {
    let printed = Printed::default();
    let executor: SharedExecutor = SharedExecutor::new(ReferenceExecutor::new());
    let options = Options {
        executor: Some(executor),
        out: Some(Box::new(printed.clone())),
        args: vec!["one".into(), "two".into(), env!("CARGO_TARGET_TMPDIR").into()],
        ..Options::default()
    };
    let mut interp = Interp::new(options).unwrap_or_else(|errors| panic!("the library has errors: {errors:?}"));
    let name = path.file_name().unwrap().to_string_lossy();
    let errors = interp.run_source(&name, program, path.parent()).err().unwrap_or_default();
    let mut out = String::new();
    let text = printed.take();
    if !text.is_empty() {
        out.push_str("// Output:\n");
        for line in text.lines() {
            out.push_str(format!("// {line}").trim_end());
            out.push('\n');
        }
    }
    for note in &interp.notes {
        out.push_str(&shown("Note", note, &interp.sources));
    }
    for error in &errors {
        out.push_str(&shown("Error", error, &interp.sources));
    }
    out
}

fn shown(word: &str, diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let place = diagnostic.span().and_then(|s| sources.location(s)).map_or(String::new(), |l| format!("{}:{} ", l.line, l.column));
    let mut out = format!("// {word}: {place}{}\n", diagnostic.message);
    for label in &diagnostic.labels {
        if !label.message.is_empty() {
            let at = sources.location(label.span).map_or(String::new(), |l| format!("{}:{} ", l.line, l.column));
            out.push_str(&format!("//   {at}{}\n", label.message));
        }
    }
    for hint in &diagnostic.hints {
        out.push_str(&format!("// Hint: {hint}\n"));
    }
    out
}

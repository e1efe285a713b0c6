//! Rules of the tree that no compiler checks: who may use whom, how large a file may be, what a kernel's header holds, and what must
//! not be committed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each folder of `src` and the modules it may name: the table of ARCHITECTURE.md.
const MAY_USE: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("diag", &["source"]),
    ("syntax", &["source", "diag"]),
    ("tensor", &[]),
    ("graph", &["tensor"]),
    ("format", &["tensor"]),
    ("text", &["format"]),
    ("plan", &["tensor", "graph"]),
    ("reference", &["tensor", "graph"]),
    ("cpu", &["tensor", "graph", "plan"]),
    ("gpu", &["tensor", "graph", "plan"]),
    ("model", &["tensor", "graph", "format", "text"]),
    ("doctor", &["tensor", "graph", "reference"]),
    ("bench", &["tensor", "graph", "plan"]),
    ("explain", &["tensor", "graph", "plan"]),
    ("trace", &["tensor", "graph", "reference", "format", "model"]),
    ("lang", &["source", "diag", "syntax", "tensor", "graph", "format", "text", "model"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The code of a file without its unit tests, which may name more: they check a module against the definition.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    match text.find("#[cfg(test)]\nmod tests") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[test]
fn modules_use_only_what_architecture_allows() {
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_USE {
        for path in files(&root().join("src").join(module), "rs") {
            if path.file_name().is_some_and(|n| n == "tests.rs") || path.components().any(|c| c.as_os_str() == "tests") {
                continue;
            }
            for (i, line) in code(&path).lines().enumerate() {
                let line = line.split("//").next().unwrap_or("");
                for used in line.split("crate::").skip(1) {
                    let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if !used.is_empty() && used != *module && !allowed.contains(&used.as_str()) {
                        wrong.push(format!("{}:{}: {module} uses {used}", relative(&path), i + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "modules that reach where ARCHITECTURE.md does not let them:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_of_a_size_that_a_reader_can_hold() {
    let mut wrong = Vec::new();
    for (folder, extension, most) in [("src", "rs", 800), ("tests", "rs", 800), ("shaders", "wgsl", 320)] {
        for path in files(&root().join(folder), extension) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > most {
                wrong.push(format!("{}: {lines} lines, at most {most}", relative(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let mut wrong = Vec::new();
    let sources = files(&root().join("src"), "rs").into_iter().chain(files(&root().join("shaders"), "wgsl"));
    for path in sources {
        if !fs::read_to_string(&path).unwrap().starts_with("//!") {
            wrong.push(relative(&path));
        }
    }
    assert!(wrong.is_empty(), "files without a `//!` header:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_dead_or_unfinished_is_in_the_tree() {
    let mut wrong = Vec::new();
    let markers = [concat!("to", "do!("), concat!("unimplement", "ed!("), concat!("FIX", "ME"), concat!("#[ign", "ore")];
    for folder in ["src", "tests", "shaders", "examples", "benches"] {
        for extension in ["rs", "wgsl", "tl", "py"] {
            for path in files(&root().join(folder), extension) {
                let text = fs::read_to_string(&path).unwrap();
                wrong.extend(markers.iter().filter(|m| text.contains(**m)).map(|m| format!("{}: {m}", relative(&path))));
            }
        }
        for extension in ["bak", "old", "orig"] {
            wrong.extend(files(&root().join(folder), extension).iter().map(|p| relative(p)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

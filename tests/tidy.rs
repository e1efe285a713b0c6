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
    ("output", &[]),
    ("environment", &[]),
    ("diag", &["source"]),
    ("syntax", &["source", "diag"]),
    ("tensor", &[]),
    ("graph", &["tensor"]),
    ("format", &["tensor", "output"]),
    ("text", &["format"]),
    ("plan", &["tensor", "graph"]),
    ("reference", &["tensor", "graph"]),
    ("cpu", &["tensor", "graph", "plan", "environment"]),
    ("gpu", &["tensor", "graph", "plan", "output", "environment"]),
    ("model", &["tensor", "graph", "format", "text"]),
    ("doctor", &["tensor", "graph", "reference"]),
    ("bench", &["tensor", "graph", "plan"]),
    ("explain", &["tensor", "graph", "plan"]),
    ("trace", &["tensor", "graph", "reference", "format", "model", "output"]),
    ("lang", &["source", "diag", "syntax", "tensor", "graph", "format", "text", "model", "output"]),
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

/// Weight formats use the assembly of kernels, which uses texts and what they declare: nothing leads back to the formats.
#[test]
fn the_assembly_of_kernels_knows_no_weight_format() {
    for name in ["assemble", "shaders", "contract"] {
        let text = code(&root().join(format!("src/gpu/{name}.rs")));
        let named = ["quant::", "WeightFormat", "lower::"].iter().find(|word| text.contains(**word));
        assert_eq!(named, None, "src/gpu/{name}.rs");
    }
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

/// Formats that code beside the tables names, with where and why.
const NAMED_ELSEWHERE: &[(&str, &str)] = &[
    // A cache of keys and values may be Q8_0.
    ("q8_0", "src/"),
    ("q8_0", "shaders/wgsl/kv/"),
    // Whole blocks are checked with two formats, not with all.
    ("q4_0", "src/doctor/model.rs"),
    ("q6_k", "src/doctor/model.rs"),
    // A sample of made-up figures, for the tests of what shows them.
    ("q4_0", "src/bench/report.rs"),
    ("q6_k", "src/bench/report.rs"),
];

/// The row of ARCHITECTURE.md that says what adding something takes, as its paths.
fn files_to_add(what: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let row = text.lines().find(|line| line.starts_with(&format!("| {what} |"))).unwrap();
    let quoted = row.split('`').skip(1).step_by(2).filter(|path| path.contains('/'));
    quoted.map(str::to_owned).collect()
}

#[test]
fn a_weight_format_is_named_where_architecture_says_and_nowhere_else() {
    let paths = files_to_add("a weight format");
    let sources: Vec<(String, String)> = [("src", "rs"), ("shaders", "wgsl")]
        .iter()
        .flat_map(|(folder, extension)| files(&root().join(folder), extension))
        .filter(|path| !path.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "tests.rs"))))
        .map(|path| {
            let lines: Vec<String> =
                code(&path).lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_lowercase).collect();
            (relative(&path), lines.join("\n"))
        })
        .collect();
    let mut wrong = Vec::new();
    for format in tensorlogic::tensor::quant::FORMATS {
        let expected: Vec<String> = paths.iter().map(|path| path.replace("NAME", format.name)).collect();
        for path in &expected {
            // A fragment is known by its file.
            let named = match path.ends_with(".wgsl") {
                true => root().join(path).exists(),
                false => sources.iter().any(|(file, text)| in_place(file, path) && has_word(text, format.name)),
            };
            if !named {
                wrong.push(format!("{} is not named in {path}", format.name));
            }
        }
        for (file, _) in sources.iter().filter(|(_, text)| has_word(text, format.name)) {
            let excepted = NAMED_ELSEWHERE.iter().any(|(name, place)| *name == format.name && file.starts_with(place));
            // Formats share code with their kin.
            let kin = file.contains("/quant/");
            if !excepted && !kin && !expected.iter().any(|path| in_place(file, path)) {
                wrong.push(format!("{file} names {}", format.name));
            }
        }
    }
    assert!(wrong.is_empty(), "weight formats and ARCHITECTURE.md disagree:\n{}", wrong.join("\n"));
}

/// Whether a file is this one, or lies in the folder.
fn in_place(file: &str, path: &str) -> bool {
    if path.ends_with('/') { file.starts_with(path) } else { file == path }
}

/// Whether a text has a name that is no part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + word.len()..].chars().next()))
}

/// What only the command line uses: the feature `cli` brings it, so that a program that embeds the engine has none of it.
const OF_THE_COMMAND_LINE: &[&str] =
    &["clap", "clap_complete", "clap_mangen", "ctrlc", "env_logger", "indicatif", "libc", "lsp-server", "rustyline", "signal-hook", "toml"];

/// A variable that is read elsewhere would be neither checked nor found by who looks for all of them. What tests read is theirs.
#[test]
fn only_one_module_reads_the_variables_of_the_environment() {
    let outside = |path: &String| !path.starts_with("src/environment") && !path.contains("/tests");
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), "rs").into_iter().map(|path| relative(&path)).filter(outside) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        wrong.extend(text.lines().filter(|line| line.contains("\"TL_")).map(|line| format!("{path}: {}", line.trim())));
    }
    assert!(wrong.is_empty(), "read these through `environment`:\n{}", wrong.join("\n"));
}

#[test]
fn the_library_needs_no_command_line() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut wrong = Vec::new();
    for name in OF_THE_COMMAND_LINE {
        if !manifest.contains(&format!("\"dep:{name}\"")) {
            wrong.push(format!("Cargo.toml: the feature `cli` does not bring {name}"));
        }
        let used = format!("{}::", name.replace('-', "_"));
        for path in files(&root().join("src"), "rs").into_iter().map(|path| relative(&path)).filter(|path| !path.starts_with("src/cli")) {
            if path != "src/main.rs" && fs::read_to_string(root().join(&path)).unwrap().contains(&used) {
                wrong.push(format!("{path}: the library uses {name}"));
            }
        }
    }
    for path in files(&root().join("src"), "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for at in (0..lines.len()).filter(|&at| lines[at].contains("include_bytes!(") && lines[at].contains("demo.gguf")) {
            if at == 0 || lines[at - 1] != "#[cfg(feature = \"demo\")]" {
                wrong.push(format!("{}:{}: the built-in model is there without the feature `demo`", relative(&path), at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

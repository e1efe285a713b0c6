//! What the documents say that a test can hold against the tree: the chapters of the book, the variables, the families, the flags, and the picture.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tensorlogic::environment;
use tensorlogic::lang::Architectures;
use tensorlogic::tensor::quant::FORMATS;

use crate::documents::pages;
use crate::process::{tl, tl_reading};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_book_has_every_page() {
    let chapters = read("docs/SUMMARY.md");
    let linked: BTreeSet<&str> = chapters.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    let names = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect();
    assert_eq!(linked, there.iter().map(String::as_str).collect());
    let book = read("book.toml");
    assert!(book.contains("src = \"docs\"") && book.contains("build-dir = \"target/"), "{book}");
}

/// The names of variables that a piece of code reads: in quotes, and either ours or an argument of `var` or `var_os`.
fn variables(code: &str) -> BTreeSet<String> {
    let is_name = |text: &&str| {
        text.len() > 2 && !text.ends_with('_') && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices('"') {
        let Some(name) = code[at + 1..].split('"').next().filter(is_name) else { continue };
        let is_read = ["var(", "var_os("].iter().any(|call| code[..at].ends_with(call));
        if name.starts_with("TL_") || is_read {
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn every_variable_is_in_the_page_of_the_backends() {
    let page = read("docs/backends.md");
    let mut read_somewhere: BTreeSet<String> = environment::ALL.iter().map(|variable| variable.name.to_owned()).collect();
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(path).unwrap();
        read_somewhere.extend(variables(text.split("#[cfg(test)]").next().unwrap()));
    }
    assert!(read_somewhere.len() > 20, "{read_somewhere:?}");
    let missing: Vec<&String> = read_somewhere.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/backends.md does not name {missing:?}");
    let rows = page.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let named = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(|name| name.starts_with("TL_"));
    let unread: Vec<&str> = named.filter(|name| !read_somewhere.contains(*name)).collect();
    assert!(unread.is_empty(), "nothing reads {unread:?}");
}

#[test]
fn the_page_of_models_has_every_family_and_weight_type() {
    let page = read("docs/models.md");
    let families: serde_json::Value = serde_json::from_str(&read("src/format/hf/families.json")).unwrap();
    let families = families["families"].as_object().unwrap();
    let mut rows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let table = page.split("\n| GGUF | folder |").nth(1).unwrap();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        let quoted = |i: usize| cells[i].split('`').skip(1).step_by(2);
        rows.insert(quoted(1).next().unwrap(), quoted(2).collect());
    }
    assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), Architectures::names().collect());
    let mut expected: BTreeMap<&str, BTreeSet<&str>> = Architectures::names().map(|name| (name, BTreeSet::new())).collect();
    for (folder, family) in families {
        expected.get_mut(family["architecture"].as_str().unwrap()).unwrap().insert(folder);
    }
    assert_eq!(rows, expected);
    let listed = |format: &str| page.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == format);
    let missing: Vec<String> = FORMATS.iter().map(|format| format.name.to_uppercase()).filter(|name| !listed(name)).collect();
    assert!(missing.is_empty(), "docs/models.md does not name {missing:?}");
    let front = read("README.md");
    assert!(front.contains(&format!("of {} model types", families.len())), "README.md counts the model types otherwise");
    assert!(front.contains(&format!("{} families of decoders", rows.len())), "README.md counts the architectures otherwise");
}

/// The commands of a page: lines of blocks, and what stands between backticks.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in page.lines() {
        let line = line.trim_start().trim_start_matches("$ ");
        if line.starts_with("tl ") {
            found.push(line.to_owned());
        }
        found.extend(line.split('`').skip(1).step_by(2).filter(|text| text.starts_with("tl ")).map(str::to_owned));
    }
    found
}

/// The flags and the commands that a document names are there.
#[test]
fn the_commands_of_the_documents_have_the_flags_that_they_show() {
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let (mut wrong, mut n_flags) = (Vec::new(), 0);
    for path in pages() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Its commands are typed as other programs have them, and each is run.
        if name == "habits.md" {
            continue;
        }
        for command in commands(&fs::read_to_string(&path).unwrap()) {
            // A comment, another command behind a pipe, and quoted text are no flags.
            let shown = command.split(" #").next().unwrap().split(" | ").next().unwrap().to_owned();
            let unquoted: String = shown.split('"').step_by(2).collect();
            let mut words = unquoted.split_whitespace().skip(1);
            let first = words.next().unwrap_or_default().to_owned();
            // `tl COMMAND` stands for any of them, and `tl --version` for none.
            if first == "COMMAND" || !first.starts_with(|c: char| c.is_ascii_lowercase()) || first.contains('.') {
                continue;
            }
            let help = helps.entry(first.clone()).or_insert_with_key(|first| tl(&[first, "--help"]).stdout);
            if help.is_empty() {
                // A sentence may say what is not there.
                if !command.ends_with("pull") {
                    wrong.push(format!("{name}: `{command}`: there is no command `{first}`"));
                }
                continue;
            }
            let has = |flag: &str| help.split(|c: char| c.is_whitespace() || ",:[]<=".contains(c)).any(|word| word == flag);
            for flag in words.filter(|word| {
                word.starts_with('-') && word.len() > 1 && word.chars().nth(1).is_some_and(|c| c == '-' || c.is_alphabetic())
            }) {
                n_flags += 1;
                if flag != "-ngl" && !has(flag.trim_end_matches(['.', ',', ';'])) {
                    wrong.push(format!("{name}: `{command}`: `tl {first}` has no flag {flag}"));
                }
            }
        }
    }
    assert!(n_flags > 60, "{n_flags} flags");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines of the screen in the README's picture.
fn screen() -> Vec<String> {
    let svg = read("docs/pictures/session.svg");
    let mut rows: BTreeMap<usize, String> = BTreeMap::new();
    for text in svg.split("<text ").skip(1) {
        let y = text.split(" y=\"").nth(1).unwrap().split('"').next().unwrap();
        let shown = text.split('>').nth(1).unwrap().split('<').next().unwrap();
        let plain = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#x27;", "'").replace("&amp;", "&");
        rows.entry(y.parse().unwrap()).or_default().push_str(&plain);
    }
    rows.into_values().collect()
}

/// What the picture shows is what the program answers: `docs/pictures/session.py` records it.
#[test]
fn the_picture_shows_what_is_printed() {
    let screen = screen();
    let sessions: Vec<&[String]> = screen.split(|line| line.starts_with("$ tl ")).skip(1).collect();
    let commands: Vec<&String> = screen.iter().filter(|line| line.starts_with("$ tl ")).collect();
    assert_eq!(commands.len(), 2, "{screen:?}");
    for (command, session) in commands.iter().zip(sessions) {
        let args: Vec<&str> = command.split_whitespace().skip(2).collect();
        let from = session.iter().position(|line| line.starts_with('>')).unwrap();
        let typed = session.iter().filter_map(|line| line.strip_prefix("> ")).filter(|line| !line.starts_with('/') && !line.is_empty());
        let input: String = typed.map(|line| format!("{line}\n")).collect();
        let shown: String = session[from..].iter().filter(|line| !line.starts_with('>')).map(String::as_str).collect();
        let printed = tl_reading(&args, &input);
        let bare = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(bare(&shown), bare(printed.answer()), "{command}");
        assert!(!shown.is_empty(), "{command}");
    }
}

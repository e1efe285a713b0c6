//! The programs of `examples`, run as their readers run them: each prints what the comments at its end say.
//!
//! `// Output:` opens the lines that a program prints, `// Input:` before it those that it reads. `TL_BLESS=1` rewrites the output.

use std::fs;
use std::path::PathBuf;

use crate::process::{Run, command, reading, tl};

const OUTPUT: &str = "// Output:\n";
const INPUT: &str = "// Input:\n";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The names of the programs, in their order.
fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| name.ends_with(".tl")).collect();
    names.sort();
    names
}

/// Lines of comments as the text that they hold.
fn uncommented(comments: &str) -> String {
    comments.lines().map(|line| format!("{}\n", line.strip_prefix("//").map_or(line, |l| l.strip_prefix(' ').unwrap_or(l)))).collect()
}

/// A text as lines of comments.
fn commented(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", format!("// {line}").trim_end())).collect()
}

/// Runs an example from the root of the repository, as its page says.
fn run(name: &str, input: &str) -> Run {
    let path = format!("examples/{name}");
    reading(command(&["run", &path]).current_dir(env!("CARGO_MANIFEST_DIR")), input)
}

#[test]
fn each_example_prints_what_its_comments_say() {
    let names = names();
    assert_eq!(names.len(), 10, "{names:?}");
    let mut wrong = Vec::new();
    for name in &names {
        let text = fs::read_to_string(folder().join(name)).unwrap();
        let (before, expected) = text.split_once(OUTPUT).unwrap_or((&text, ""));
        let (program, input) = before.split_once(INPUT).unwrap_or((before, ""));
        assert!((10..=60).contains(&program.lines().count()), "{name} has {} lines", program.lines().count());
        let found = commented(run(name, &uncommented(input)).answer());
        if found == expected {
            continue;
        }
        if std::env::var_os("TL_BLESS").is_some() {
            fs::write(folder().join(name), format!("{before}{OUTPUT}{found}")).unwrap();
        } else {
            wrong.push(format!("--- {name}\nexpected:\n{expected}\nfound:\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{} examples (TL_BLESS=1 accepts):\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_examples_are_formatted_and_their_tests_pass() {
    assert_eq!(tl(&["fmt", "--check", folder().to_str().unwrap()]).answer(), "", "`tl fmt examples` formats them");
    let tests = tl(&["test", folder().join("05-network.tl").to_str().unwrap()]);
    assert_eq!((tests.code, tests.stdout.lines().last()), (Some(0), Some("1 passed, 0 failed")), "{tests:?}");
}

#[test]
fn the_tour_has_each_example_with_its_command() {
    let page = fs::read_to_string(folder().join("README.md")).unwrap();
    let named: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## [")?.split_once("](").map(|(_, rest)| rest)).collect();
    let names = names();
    assert_eq!(named, names.iter().map(|name| format!("{name})")).collect::<Vec<_>>(), "the headings are the programs, in order");
    for name in &names {
        assert!(page.lines().any(|line| line.trim_start_matches("    ") == format!("tl run examples/{name}")), "the command of {name}");
    }
}

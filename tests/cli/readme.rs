//! What the README shows is so: its commands, its answers, and the transformer.

use std::fs;
use std::path::Path;

use crate::documents::blocks;
use crate::process::{tiny, tl};
use crate::scratch::Scratch;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn the_transformer_is_the_text_that_runs() {
    let program = include_str!("../../src/lang/std/llama.tl");
    let shown = blocks(&readme(), "text");
    let shown = shown.iter().find(|block| block.starts_with("fn block(")).unwrap();
    assert!(program.contains(shown.as_str()), "src/lang/std/llama.tl does not hold\n{shown}");
}

/// A session shows commands behind `$`, and below each what it prints.
#[test]
fn the_first_command_prints_what_stands_below_it() {
    let session = &blocks(&readme(), "console")[0];
    let (command, rest) = session.strip_prefix("$ cargo run --release -- ").unwrap().split_once('\n').unwrap();
    let printed: String = rest.lines().take_while(|line| !line.starts_with('$')).map(|line| format!("{line}\n")).collect();
    let args: Vec<&str> = command.split(' ').collect();
    assert_eq!(tl(&args).answer(), printed);
}

/// The rows of the table of commands: the command, and an example of it.
fn commands() -> Vec<(String, String)> {
    let text = readme();
    let table = text.split("\n| command |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.split('`').skip(1).step_by(2).take(2).map(str::to_owned).collect::<Vec<_>>();
    rows.map(|row| cells(row).try_into().map(|[name, example]: [String; 2]| (name, example)).unwrap()).collect()
}

#[test]
fn the_table_has_every_command() {
    let help = tl(&["--help"]);
    let (_, list) = help.answer().split_once("Commands:\n").unwrap();
    let listed = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let mut listed: Vec<&str> = listed.filter(|name| *name != "help").collect();
    let commands = commands();
    let mut named: Vec<&str> = commands.iter().map(|(name, _)| name.as_str()).collect();
    named.sort_unstable();
    listed.sort_unstable();
    assert_eq!(named, listed);
}

/// Each example is run with a small model in place of the reader's. `doctor`, `devices` and `bench` have tests of their own.
#[test]
fn the_example_of_each_command_runs() {
    let scratch = Scratch::new("readme");
    let model = tiny("f32");
    for (name, example) in commands() {
        assert!(example.starts_with(&format!("tl {name}")), "{example}");
        if ["doctor", "devices", "bench"].contains(&&*name) {
            continue;
        }
        let mut args: Vec<String> = Vec::new();
        for (i, part) in example.trim_start_matches("tl ").split('"').enumerate() {
            // Every other part stands in quotes.
            if i % 2 == 1 {
                args.push(part.to_owned());
            } else {
                args.extend(part.split_whitespace().map(|word| if word == "model.gguf" { model.clone() } else { word.to_owned() }));
            }
        }
        if name == "fmt" {
            let file = scratch.path("a.tl");
            fs::write(&file, "let  x=1\n").unwrap();
            args[1] = scratch.path("").to_str().unwrap().to_owned();
        }
        let run = tl(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(run.code, Some(0), "{example}: {run:?}");
    }
    assert_eq!(fs::read_to_string(scratch.path("a.tl")).unwrap(), "let x = 1\n");
}

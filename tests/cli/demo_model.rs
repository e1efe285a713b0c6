//! The model in the binary: it stays within its own words however long a conversation is, and what its data teach can be typed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::process::{tiny, tl, tl_reading};
use crate::scratch::Scratch;

fn demo(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/demo-model").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Words as the word list counts them: letters with apostrophes within, and single digits.
fn words(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_alphabetic() || (c == '\'' && !word.is_empty()) {
            word.push(c);
            continue;
        }
        let whole = std::mem::take(&mut word);
        let whole = whole.trim_end_matches('\'');
        if !whole.is_empty() {
            found.insert(whole.to_owned());
        }
        if c.is_ascii_digit() {
            found.insert(c.to_string());
        }
    }
    found
}

/// What a person may ask in a long talk, none of it twice in a row.
const QUESTIONS: [&str; 20] = [
    "Hello",
    "My name is Ada.",
    "What is a tensor?",
    "How do I load a GGUF?",
    "What is 12 + 30?",
    "Tell me a story",
    "What is my name?",
    "What is the capital of France?",
    "How do I set the temperature?",
    "What is a KV cache?",
    "I live in Berlin.",
    "Thanks!",
    "What is attention?",
    "What can you do?",
    "Where do I live?",
    "How are you?",
    "What is softmax?",
    "How do I clear the chat?",
    "Who made you?",
    "What is 50 - 8?",
];

/// With its window as it comes, beyond the length at which it began to say what no answer of its training holds.
#[test]
fn sixty_turns_stay_within_the_models_own_words() {
    let asked: Vec<&str> = QUESTIONS.iter().copied().cycle().take(60).collect();
    let run = tl_reading(&["chat", "--temperature", "0"], &asked.join("\n"));
    let answers: Vec<&str> = run.stdout.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(answers.len() >= 60, "{} answers: {run:?}", answers.len());
    let mut own: BTreeSet<String> = demo("results/words.txt").lines().map(str::to_owned).collect();
    own.extend(asked.iter().flat_map(|question| words(question)));
    for (turn, answer) in answers.iter().enumerate() {
        let strange: Vec<String> = words(answer).difference(&own).cloned().collect();
        assert!(strange.is_empty(), "line {turn} has {strange:?}: {answer}");
    }
    // The last round is answered as the first one is.
    let ends = |n: usize| answers[..n].iter().rev().take(3).copied().collect::<Vec<_>>();
    assert!(ends(answers.len()).contains(&"50 - 8 = 42."), "{:?}", ends(answers.len()));
}

/// Each text in backticks of an answer of the training data.
fn taught() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/demo-model/data");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.starts_with("say:") || line.starts_with("unknown:")) {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found.into_iter().collect()
}

#[test]
fn every_command_that_the_model_teaches_can_be_typed() {
    let scratch = Scratch::new("taught");
    let (model, program, tests) = (scratch.path("model.gguf"), scratch.path("program.tl"), scratch.path("tests.tl"));
    std::fs::copy(tiny("f32"), &model).unwrap();
    std::fs::write(&program, "print(sum([1.0, 2.0]))").unwrap();
    std::fs::write(&tests, "test sums { assert(1 + 1 == 2) }").unwrap();
    let (model, program, tests) = (model.to_str().unwrap(), program.to_str().unwrap(), tests.to_str().unwrap());
    let saved = scratch.path("saved.gguf");
    let commands: Vec<String> = taught().into_iter().filter(|text| text.starts_with("tl ")).collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        let typed = command.replace("\"your text\"", "Hello").replace("\"text\"", "the").replace("adapter nvidia", "adapter cpu");
        let args = typed.split(' ').skip(1).map(|word| match word {
            "path/to/model.gguf" | "model.gguf" if command.contains("--save-default") => saved.to_str().unwrap(),
            "path/to/model.gguf" | "model.gguf" => model,
            "hello.tl" | "program.tl" | "file.tl" => program,
            "path" if command.starts_with("tl test") => tests,
            "path" => program,
            "name" => "softmax",
            word => word,
        });
        let mut args: Vec<&str> = args.collect();
        match args[0] {
            "chat" if args.contains(&model) => args.extend(["--max-tokens", "4"]),
            "generate" => args.extend(["--max-tokens", "4"]),
            "bench" => args.extend(["-p", "4", "-n", "2", "-r", "1"]),
            "doctor" => args.extend(["--filter", "softmax"]),
            _ => {}
        }
        let run = tl(&args);
        // A backend that this machine lacks is named, not unknown.
        let lacks = run.code == Some(3) && command.contains("--backend");
        assert!(run.code == Some(0) || lacks, "`{command}`: {run:?}");
    }
    // Flags by themselves, with a value or without.
    let helps: String = ["chat", "generate", "test", "bench", "inspect", "tokenize", "explain"].map(|c| tl(&[c, "--help"]).stdout).concat();
    for flag in taught().iter().filter(|text| text.starts_with('-')) {
        let name = flag.split(' ').next().unwrap();
        assert!(helps.split([' ', ',', '\n', ']']).any(|word| word == name), "`{flag}`");
    }
}

#[test]
fn every_program_that_the_model_teaches_runs() {
    // What stands around a piece of a program, where it is none by itself.
    let around: BTreeMap<&str, (&str, &str)> = BTreeMap::from([
        ("fn double(x: float[n]) -> float[n] { x * 2.0 }", ("", "print(double([1.0, 2.0]))")),
        ("let x = 3", ("", "print(x)")),
        ("x = 4", ("let x = 3", "print(x)")),
        ("[[1.0, 2.0], [3.0, 4.0]]", ("let x =", "print(x)")),
        ("a @ b", ("let a = ones([2, 3])\nlet b = ones([3, 2])\nlet c =", "print(c)")),
        ("einsum(\"ik,k->i\", W, X)", ("let W = ones([2, 3])\nlet X = ones([3])\nlet Y =", "print(Y)")),
        ("print(\"loss {}\", x)", ("let x = [1.0]", "")),
        ("let model = load_model(\"model.gguf\")", ("", "print(model)")),
        (
            "generate(model, cache, ...)",
            ("let model = load_model(\"model.gguf\")\nlet cache = KVCache(model)\nprint(", ", \"the\", max_tokens: 2))"),
        ),
        ("import \"lib.tl\"", ("", "print(1)")),
        ("import std.nn", ("", "print(1)")),
        ("test name { ... }", ("", "")),
    ]);
    // Words that are no programs: types, files, names of functions and commands, and einsum's own notation.
    let is_program = |text: &str| text.contains([' ', '(', '@']) && !text.starts_with(['-', '/']) && !text.starts_with("tl ");
    let scratch = Scratch::new("programs");
    std::fs::copy(tiny("f32"), scratch.path("model.gguf")).unwrap();
    std::fs::write(scratch.path("lib.tl"), "fn one() -> float { 1.0 }").unwrap();
    let path = scratch.path("p.tl");
    let programs: Vec<String> = taught().into_iter().filter(|text| is_program(text) && !text.starts_with("cargo ")).collect();
    assert!(programs.len() > 8, "{programs:?}");
    for program in &programs {
        let (before, after) = around.get(&program[..]).copied().unwrap_or(("", ""));
        let text = match &program[..] {
            "generate(model, cache, ...)" => format!("{before}generate(model, cache{after}"),
            "test name { ... }" => "test name { assert(true) }".to_owned(),
            _ if before.ends_with('=') => format!("{before} {program}\n{after}"),
            _ => format!("{before}\n{program}\n{after}"),
        };
        std::fs::write(&path, text.replace("model.gguf", scratch.path("model.gguf").to_str().unwrap())).unwrap();
        let run = tl(&["run", path.to_str().unwrap()]);
        assert_eq!(run.code, Some(0), "`{program}`: {run:?}");
    }
    let names = ["zeros", "ones", "full", "arange", "eye", "rand", "randn"];
    assert!(names.iter().all(|name| taught().iter().any(|text| text == name)));
    for name in names {
        assert_eq!(tl(&["doc", name]).code, Some(0), "{name}");
    }
}

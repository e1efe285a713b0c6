//! What fingers that other programs have trained type, and what `tl` does then.

use std::fs;

use serde_json::Value;

use crate::process::{Run, command, ended, tiny, tl, tl_reading};
use crate::scratch::{Scratch, assert_contains};

const HELLO: &str = "Hello! How can I help you today?\n";

fn json(run: &Run) -> Value {
    serde_json::from_str(run.answer()).unwrap()
}

#[test]
fn a_message_comes_from_a_flag_a_place_a_file_or_standard_input() {
    let scratch = Scratch::new("message");
    let file = scratch.path("hello.txt");
    fs::write(&file, "Hello\n").unwrap();
    let model = scratch.path("demo.gguf");
    tl(&["chat", "--save-default", model.to_str().unwrap()]);
    let (file, model) = (file.to_str().unwrap(), model.to_str().unwrap());
    for args in [
        &["chat", "-p", "Hello"][..],
        &["chat", model, "Hello"],
        &["chat", "-m", model, "-p", "Hello", "-n", "40", "-c", "512", "-t", "2", "-s", "1", "-ngl", "99"],
        &["chat", "-f", file],
        &["chat", "--file", file],
    ] {
        let run = tl(&[args, &["--temp", "0"]].concat());
        assert_eq!((run.code, &run.stdout[..]), (Some(0), HELLO), "{args:?}: {run:?}");
    }
    assert_eq!(tl_reading(&["chat", "--temp", "0", "-p", "-"], "Hello\n").answer(), HELLO);
    // A document is one message with its question, whatever lines it has.
    let asked = tl_reading(&["chat", "--temp", "0", "-p", "What is"], "\n\nattention?\n");
    let at_once = tl(&["chat", "--temp", "0", "-p", "What is\n\n\n\nattention?"]);
    assert_eq!(asked.answer(), at_once.answer());
    assert_eq!(asked.answer().lines().count(), 1);
}

#[test]
fn a_message_that_cannot_be_read_is_refused() {
    let scratch = Scratch::new("no-message");
    let bytes = scratch.path("bytes");
    fs::write(&bytes, [b'a', 0xff]).unwrap();
    assert_contains(tl(&["chat", "-f", bytes.to_str().unwrap()]).refusal(1), &["no UTF-8 text at byte 1"]);
    assert_contains(tl(&["chat", "-f", "/nowhere"]).refusal(1), &["cannot read `/nowhere`"]);
    assert_eq!(tl(&["chat", "-f", "x", "-p", "y"]).code, Some(2));
}

#[test]
fn an_answer_ends_at_a_stop() {
    let with = |stops: &[&str]| tl(&[&["chat", "--temp", "0", "-p", "Hello"], stops].concat());
    assert_eq!(with(&["--stop", " today"]).answer(), "Hello! How can I help you\n");
    assert_eq!(with(&["--stop", "nowhere", "--stop", "!"]).answer(), "Hello\n");
    assert_eq!(with(&["--stop", ""]).answer(), HELLO);
}

#[test]
fn quiet_leaves_notes_out_and_errors_in() {
    for args in [&["-q", "chat", "-p", "Hello", "--temp", "0"][..], &["chat", "-p", "Hello", "--temp", "0", "--quiet"]] {
        let run = tl(args);
        assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (Some(0), HELLO, ""), "{args:?}");
    }
    assert_contains(tl(&["-q", "chat", "nowhere.gguf"]).refusal(1), &["nowhere.gguf"]);
    assert_eq!(tl(&["-q", "-v", "doc"]).code, Some(2));
    assert_eq!(tl(&["-vv", "doc", "softmax"]).code, Some(0));
}

#[test]
fn the_version_says_what_a_report_of_a_fault_needs() {
    let short = tl(&["-V"]);
    assert_eq!(short.answer(), format!("tl {}\n", env!("CARGO_PKG_VERSION")));
    let long = tl(&["--version"]);
    assert_contains(long.answer(), &[env!("CARGO_PKG_VERSION"), "commit: ", "target: ", "backends: cpu, "]);
    assert!(long.answer().contains(std::env::consts::ARCH), "{long:?}");
}

#[test]
fn every_shell_gets_its_completions() {
    for (shell, words) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef tl"),
        ("fish", "complete -c tl"),
        ("powershell", "Register-"),
        ("elvish", "edit:completion"),
    ] {
        let run = tl(&["completions", shell]);
        assert_contains(run.answer(), &[words, "chat", "save-default"]);
    }
    assert_eq!(tl(&["completions", "csh"]).code, Some(2));
}

#[test]
fn every_command_has_a_man_page() {
    let scratch = Scratch::new("man");
    let folder = scratch.path("man1");
    assert_contains(tl(&["man"]).answer(), &[".TH tl 1", "SUBCOMMANDS"]);
    let run = tl(&["man", "--out", folder.to_str().unwrap()]);
    assert_eq!((run.code, &run.stdout[..]), (Some(0), ""), "{run:?}");
    let help = tl(&["--help"]);
    let (_, list) = help.answer().split_once("Commands:\n").unwrap();
    for name in list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next()).filter(|n| *n != "help")
    {
        let page = fs::read_to_string(folder.join(format!("tl-{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH tl-{name} 1")), "{page}");
    }
    assert_contains(tl(&["man", "--out", folder.to_str().unwrap()]).refusal(2), &["--force"]);
    assert_eq!(tl(&["man", "--out", folder.to_str().unwrap(), "--force"]).code, Some(0));
}

#[test]
fn help_has_a_sentence_for_everything() {
    let root = tl(&["--help"]);
    let (_, list) = root.answer().split_once("Commands:\n").unwrap();
    for name in list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next()).filter(|n| *n != "help")
    {
        // The short help has one line an argument: its name, then what it is.
        let help = tl(&[name, "-h"]).stdout;
        for line in help.lines().skip_while(|line| !line.starts_with("Usage")) {
            let entry = line.trim_start();
            let is_entry = line.starts_with("  ") && (entry.starts_with('-') || entry.starts_with('[') || entry.starts_with('<'));
            // Long names stand on a line of their own, with their sentence on the next.
            if is_entry && !entry.contains("  ") {
                let next = help.lines().skip_while(|other| other != &line).nth(1).unwrap_or_default();
                assert!(next.starts_with("          "), "`tl {name} -h`: {entry}: {next:?}");
            }
        }
        assert!(help.contains("Output:"), "{help}");
    }
    let help = tl(&["chat", "--help"]).stdout;
    let parts = [
        "\nOptions:\n",
        "--save-default",
        "\nSampling:\n",
        "--top-k",
        "\nContext:\n",
        "--sinks",
        "\nComputation:\n",
        "--precise",
        "\nDevice:\n",
        "--adapter",
    ];
    let places: Vec<usize> = parts.iter().map(|part| help.find(part).unwrap_or_else(|| panic!("{part} is missing in {help}"))).collect();
    assert!(places.is_sorted(), "a flag stands under another heading: {help}");
}

#[test]
fn reports_are_json_where_that_is_asked() {
    let model = tiny("f32");
    let shown = json(&tl(&["inspect", &model, "--json", "--tensors"]));
    assert_eq!(shown["architecture"], "llama");
    assert_eq!(shown["program"], "std/llama.tl");
    assert_eq!(shown["refused"], Value::Null);
    let tensors = shown["tensors"].as_array().unwrap();
    assert_eq!(tensors.iter().map(|t| t["bytes"].as_u64().unwrap()).sum::<u64>(), shown["bytes"].as_u64().unwrap());
    assert!(json(&tl(&["inspect", &model, "--json"])).get("tensors").is_none());
    let shown = json(&tl(&["tokenize", &model, "the and", "--json"]));
    let ids: Vec<String> = shown["ids"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(format!("{}\n", ids.join(",")), tl(&["tokenize", &model, "the and", "--ids"]).answer());
    assert_eq!(shown["tokens"].as_array().unwrap().len(), ids.len());
    let shown = json(&tl(&["devices", "--json"]));
    let last = shown["devices"].as_array().unwrap().last().unwrap();
    assert_eq!(last["backend"], "cpu");
    assert!(shown["chosen"].as_str().unwrap().starts_with("cpu: "));
    if cfg!(target_os = "linux") {
        assert!(last["memory_bytes"].as_u64().unwrap() > 1 << 26, "{last}");
    }
    for device in shown["devices"].as_array().unwrap().iter().filter(|d| d["backend"] == "vulkan") {
        assert!(device["memory_bytes"].as_u64().unwrap() > 1 << 26, "{device}");
    }
}

#[test]
fn several_numbers_of_tokens_are_measured_each_and_shown_as_csv() {
    let model = tiny("f32");
    let run = tl(&["bench", "-m", &model, "-p", "4,8", "-n", "0", "-r", "1", "--csv"]);
    let rows: Vec<Vec<&str>> = run.answer().lines().map(|line| line.rsplitn(8, ',').collect()).collect();
    // From the end: max, min, median, measurements, sequences, tokens, test.
    let tests: Vec<[&str; 3]> = rows.iter().map(|row| [row[6], row[5], row[4]]).collect();
    assert_eq!(tests, [["test", "tokens", "sequences"], ["prefill", "4", "1"], ["prefill", "8", "1"]], "{run:?}");
    assert!(rows[1..].iter().all(|row| row[2].parse::<f64>().unwrap() > 0.0), "{run:?}");
    assert_contains(tl(&["bench", &model, "-p", "0", "-n", "0"]).refusal(2), &["measures nothing"]);
    assert_eq!(tl(&["bench", &model, "-p", "4,8", "--plot", "x.svg"]).code, Some(2));
}

/// Runs each row of the page of habits: the command does what its user means, or prints the hint that the page gives.
#[test]
fn the_habits_of_other_programs_work_or_say_what_to_type() {
    let scratch = Scratch::new("habits");
    fs::write(scratch.path("prompt.txt"), "Hello").unwrap();
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    fs::write(scratch.path("template.jinja"), template).unwrap();
    let model = tiny("f32");
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/habits.md")).unwrap();
    let rows: Vec<Vec<&str>> = page.lines().filter(|line| line.starts_with("| `")).map(|line| line.split(" | ").collect()).collect();
    let run = |row: &[&str]| {
        let typed = row[0].trim_start_matches("| ").trim_matches('`');
        let mut args: Vec<String> = Vec::new();
        for (i, part) in typed.strip_prefix("tl ").unwrap().split('"').enumerate() {
            // Every other part stands in quotes.
            if i % 2 == 1 {
                args.push(part.to_owned());
            } else {
                args.extend(part.split_whitespace().map(|word| if word == "FILE" { model.clone() } else { word.to_owned() }));
            }
        }
        let limits = |word: &String| ["-n", "--n-predict", "--predict", "--max-tokens"].contains(&word.as_str());
        if ["chat", "generate"].contains(&args[0].as_str()) && !args.iter().any(limits) {
            args.extend(["-n", "4"].map(str::to_owned));
        }
        if args[0].starts_with("bench") {
            // That its flags are known is enough here: measuring takes long, and has tests of its own.
            args.push("--help".to_owned());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let run = ended(command(&args).current_dir(scratch.path("")).stdin(std::process::Stdio::null()).output().unwrap());
        match row[2].strip_prefix("says ") {
            Some(says) => {
                let hint = says.split('`').nth(1).unwrap();
                // The message names the file that was typed.
                let said = run.code != Some(0) && run.stderr.contains(hint.split("FILE").next().unwrap_or_default().trim_end());
                (!said).then(|| format!("{typed}: does not say `{hint}`: {run:?}"))
            }
            None => (run.code != Some(0)).then(|| format!("{typed}: {run:?}")),
        }
    };
    let next = std::sync::atomic::AtomicUsize::new(0);
    let take = || rows.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let work = || std::iter::from_fn(take).filter_map(|row| run(row)).collect::<Vec<_>>();
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let n_refused = rows.iter().filter(|row| row[2].starts_with("says ")).count();
    assert!(rows.len() >= 60 && rows.len() - n_refused >= 50, "{} rows, {n_refused} refused", rows.len());
}

/// The colours that NO_COLOR leaves out are none in a pipe either.
#[test]
fn a_pipe_has_no_colours() {
    let run = ended(command(&["run", "/nowhere.tl"]).output().unwrap());
    assert!(!run.stderr.contains('\x1b'), "{run:?}");
}

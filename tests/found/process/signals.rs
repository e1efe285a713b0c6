//! Signals: what they leave behind, and how soon they are heard.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rexpect::session::spawn_command;

use super::binary::{command, fixture};
use crate::scratch::Scratch;

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

fn spawn(args: &[&str]) -> Child {
    command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_model_that_is_cut_short_while_it_runs_is_one_sentence() {
    let scratch = Scratch::new("cut");
    let model = scratch.path("model.gguf");
    std::fs::copy(fixture("tiny-f32.gguf"), &model).unwrap();
    let mut child = spawn(&["chat", model.to_str().unwrap(), "--max-tokens", "2", "--temperature", "0"]);
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    input.write_all(b"the\n").unwrap();
    let mut answer = String::new();
    output.read_line(&mut answer).unwrap();
    std::fs::File::options().write(true).open(&model).unwrap().set_len(4096).unwrap();
    input.write_all(b"the\n").unwrap();
    drop(input);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("error: a file was cut short") && said.contains("--no-mmap"), "{said}");
}

#[test]
fn one_long_evaluation_is_interrupted() {
    interrupts("let x = rand([6000, 6000])\nprint(sum(x))\nprint(sum(x @ x))\n");
}

/// One row, which is sorted in pieces.
#[test]
fn one_long_row_is_interrupted() {
    interrupts("let x = rand([40000000])\nprint(sum(x))\nlet (sorted, order) = sort(x)\nprint(sum(sorted))\n");
}

/// Interrupts a program half a second after its first line, and expects no other.
fn interrupts(text: &str) {
    let scratch = Scratch::new("long");
    let program = scratch.path("long.tl");
    std::fs::write(&program, text).unwrap();
    let mut child = spawn(&["run", program.to_str().unwrap()]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    signal("INT", child.id());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), &rest[..]), (Some(1), ""), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// The terminal after a signal has ended a session at its prompt, where the editor takes every key.
#[test]
fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    let scratch = Scratch::new("prompt");
    for (args, name) in [("repl", "TERM"), ("repl", "HUP"), ("chat", "TERM")] {
        let tl = command(&[]);
        let mut shell = Command::new("bash");
        let script = "bash -c 'echo \"process $$.\"; exec \"$0\" \"$1\"' \"$0\" \"$1\"; echo \"ended by $?.\"; stty -a";
        shell.args(["-c", script]).arg(tl.get_program()).arg(args);
        shell.env("TL_BACKEND", "cpu").env("TERM", "xterm").env("XDG_STATE_HOME", scratch.path("state"));
        let mut session = spawn_command(shell, Some(60_000)).unwrap();
        session.exp_string("process ").unwrap();
        let pid: u32 = session.exp_string(".").unwrap().trim().parse().unwrap();
        // From here on the editor reads.
        session.exp_string("\x1b[?2004h").unwrap();
        signal(name, pid);
        session.exp_string("ended by ").unwrap();
        let code = session.exp_string(".").unwrap();
        assert_eq!(code.trim(), if name == "TERM" { "143" } else { "129" });
        let settings = session.exp_eof().unwrap();
        let is_on = |setting: &str| settings.split_whitespace().any(|word| word.trim_end_matches(';') == setting);
        // The test's own terminal has no echo.
        assert!(is_on("icanon") && is_on("icrnl") && is_on("isig"), "{args} after {name}: {settings}");
    }
}

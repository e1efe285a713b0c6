//! Devices that run out of memory or are lost, on the backend that validates and computes nothing.

use std::process::Stdio;

use crate::process::{Run, command, ended, tiny};
use crate::scratch::{Scratch, assert_contains};

fn with_fault(fault: &str, args: &[&str]) -> Run {
    ended(command(args).env("TL_BACKEND", "noop").env("TL_FAULT", fault).stdin(Stdio::null()).output().unwrap())
}

/// The line that says what failed. A program's error goes on with a picture of its place.
fn failure(run: &Run) -> &str {
    assert_eq!(run.code, Some(1), "{run:?}");
    let said = run.said();
    assert!(said[0].starts_with("error: ") && !run.stderr.contains("panicked"), "{run:?}");
    let picture = said.get(1).is_some_and(|line| line.contains("┌─"));
    assert!(said.len() == 1 || picture, "{run:?}");
    said[0]
}

/// A program that computes, without a model.
fn program(scratch: &Scratch) -> String {
    let path = scratch.path("p.tl");
    std::fs::write(&path, "let x = rand([64, 64])\nfor i in 0..8 { print(sum(x @ x + i)) }").unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn memory_that_runs_out_anywhere_is_one_line() {
    let scratch = Scratch::new("memory");
    let (model, program) = (tiny("q4_0"), program(&scratch));
    let commands: [&[&str]; 3] = [
        &["chat", &model, "--prompt", "the", "--max-tokens", "4"],
        &["generate", &model, "--tokens", "1,267", "--max-tokens", "4"],
        &["run", &program],
    ];
    for args in commands {
        let (mut limit, mut refused) = (10u64, 0);
        // Buffers of every kind are the one that does not fit at some limit.
        loop {
            let run = with_fault(&format!("memory={limit}"), args);
            if run.code == Some(0) {
                break;
            }
            assert_contains(failure(&run), &["out of device memory", "MB for "]);
            refused += 1;
            limit = limit * 5 / 4;
            assert!(limit < 1 << 30, "{run:?}");
        }
        assert!(refused > 5, "{args:?}: {refused} limits");
    }
    let run = with_fault("memory=200000", &["generate", &model, "--tokens", "1", "--ctx", "4096"]);
    assert_contains(run.refusal(1), &["the key-value cache", "--ctx"]);
    // Opening the device takes no memory; the program's first value does.
    let run = with_fault("memory=10", &["run", &program]);
    assert_contains(failure(&run), &["out of device memory", "intermediate values"]);
    assert_contains(&run.stderr, &["noop", "p.tl:2"]);
}

#[test]
fn a_device_that_is_lost_at_any_run_is_one_line() {
    let scratch = Scratch::new("lost");
    let (model, program) = (tiny("q4_0"), program(&scratch));
    let commands: [&[&str]; 3] = [
        &["chat", &model, "--prompt", "the", "--max-tokens", "8"],
        &["generate", &model, "--tokens", "1,267", "--max-tokens", "8"],
        &["run", &program],
    ];
    for args in commands {
        for n_runs in [1, 2, 3, 5] {
            let run = with_fault(&format!("lost={n_runs}"), args);
            assert_contains(failure(&run), &["the device was lost"]);
        }
    }
    with_fault("", commands[1]).answer();
}

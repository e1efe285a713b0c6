//! Standard input that is no text or has no end, and programs that are nothing but errors.

use std::io::Write;
use std::process::Stdio;

use super::binary::{Run, command, ended, tiny};

/// The binary with these bytes on its standard input. It may end before it has read them all.
fn reading(args: &[&str], input: &[u8]) -> Run {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    ended(child.wait_with_output().unwrap())
}

#[test]
fn a_piped_chat_goes_on_after_a_message_that_gets_no_answer() {
    let long = "the ".repeat(5000);
    let endless = "x".repeat((16 << 20) + 1);
    let input = [&b"the\nthe \xFF\n"[..], long.as_bytes(), b"\n", endless.as_bytes(), b"\nthe\n"].concat();
    let run = reading(&["chat", &tiny("f32"), "--max-tokens", "2", "--temperature", "0", "--stats", "--ctx", "64"], &input);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let errors: Vec<&str> = run.said().into_iter().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    for (error, says) in errors.iter().zip(["line 2 of standard input got no answer: byte 4", "line 3 of", "line 4 of"]) {
        assert!(error.contains(says), "{error}");
    }
    assert!(errors[1].contains("--ctx") && errors[2].contains("16777216 bytes"), "{errors:?}");
    assert_eq!(run.stderr.matches("tokens read").count(), 2, "the first and the last line are answered: {}", run.stderr);
}

#[test]
fn piped_lines_that_are_no_text_do_not_end_a_session() {
    let run = reading(&["repl"], b"let a = 41\nlet b = \xFF\na + 1\n");
    assert_eq!((run.code, &run.stdout[..]), (Some(1), "42\n"), "{run:?}");
    assert!(run.stderr.contains("line 2 of standard input is no UTF-8 text at byte 8"), "{}", run.stderr);
    // What a statement reads is what follows it.
    let run = reading(&["repl"], b"print(len(input()))\nabc\n1 + 1\n");
    assert_eq!((run.code, &run.stdout[..]), (Some(0), "3\n2\n"), "{run:?}");
    let endless = [&b"print(len(input()))\n"[..], &vec![b'x'; (64 << 20) + 1]].concat();
    let run = reading(&["repl"], &endless);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("a line has more than 67108864 bytes") && run.stderr.len() < 10_000, "{:.1000}", run.stderr);
}

#[test]
fn a_text_of_nothing_but_errors_shows_the_first_and_counts_the_rest() {
    let scratch = crate::scratch::Scratch::new("errors");
    let path = scratch.path("wrong.tl");
    let words = |n: usize, word: &str| word.repeat(n);
    for text in
        [words(5000, "$\n"), words(200_000, "!"), words(100_000, "! "), words(100_000, "a b "), words(50_000, "(\n"), words(200_000, "é⊙")]
    {
        std::fs::write(&path, &text).unwrap();
        for args in [&["run"][..], &["fmt", "--check"], &["test"]] {
            let args = [args, &[path.to_str().unwrap()]].concat();
            let run = reading(&args, b"");
            assert_eq!(run.code, Some(1), "{args:?} of {text:.20}");
            assert!(run.stderr.len() < 40_000, "{args:?} of {text:.20}: {} bytes", run.stderr.len());
        }
    }
    std::fs::write(&path, words(5000, "$\n")).unwrap();
    let run = reading(&["run", path.to_str().unwrap()], b"");
    assert!(run.stderr.contains("error: 4980 more are not shown"), "{}", run.stderr);
}

/// `ulimit -v` in KiB. Where memory is short, the answer comes or one line says why not; no signal ends the process.
#[cfg(target_os = "linux")]
#[test]
fn little_memory_is_enough_or_is_said() {
    let limited = |kib: usize, backend: Option<&str>| {
        let mut shell = std::process::Command::new("bash");
        shell.args([
            "-c",
            &format!("ulimit -v {kib}; exec \"$0\" chat \"$1\" --prompt the --max-tokens 2"),
            env!("CARGO_BIN_EXE_tl"),
            &tiny("f32"),
        ]);
        shell.env_remove("TL_BACKEND").env_remove("TL_REQUIRE_GPU").env("TL_CACHE", "").env("RAYON_NUM_THREADS", "2");
        if let Some(backend) = backend {
            shell.env("TL_BACKEND", backend);
        }
        ended(shell.stdin(Stdio::null()).output().unwrap())
    };
    for backend in [Some("cpu"), None] {
        let run = limited(600_000, backend);
        assert_eq!(run.code, Some(0), "{backend:?}: {run:?}");
    }
    for kib in [150_000, 200_000, 250_000, 300_000] {
        let run = limited(kib, None);
        let is_said = run.code == Some(1) && run.stderr.lines().last().is_some_and(|line| line.starts_with("error: "));
        assert!(run.code == Some(0) || is_said, "{kib} KiB: {run:?}");
    }
}

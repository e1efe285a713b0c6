//! The config file: flags that are not typed.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::process::{Run, command, ended};
use crate::scratch::{Scratch, assert_contains};

/// Runs with this text as the config file.
fn with(text: &str, args: &[&str]) -> Run {
    // Tests run side by side, each with a file of its own.
    static N_FILES: AtomicUsize = AtomicUsize::new(0);
    let scratch = Scratch::new(&format!("config-{}", N_FILES.fetch_add(1, Ordering::Relaxed)));
    let path = scratch.path("config.toml");
    fs::write(&path, text).unwrap();
    ended(command(args).env("TL_CONFIG", path).output().unwrap())
}

const HELLO: &[&str] = &["chat", "-p", "Hello"];

#[test]
fn flags_of_the_file_hold_where_none_is_typed() {
    let text = "quiet = true\n[chat]\ntemperature = 0\nstop = [\" today\"]\n";
    let run = with(text, HELLO);
    assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (Some(0), "Hello! How can I help you\n", ""));
    // What is typed goes before.
    let run = with(text, &["chat", "-p", "Hello", "--stop", "How"]);
    assert_eq!((run.code, &run.stdout[..]), (Some(0), "Hello! \n"), "{run:?}");
    // A table goes before the top, and a flag is for the commands that have it.
    let run = with("temperature = 5.0\nmax-tokens = 3\n[chat]\ntemperature = 0\n[bench]\njson = true\n", HELLO);
    assert_eq!((run.code, &run.stdout[..]), (Some(0), "Hello! How\n"), "{run:?}");
    assert_eq!(with("temperature = 0\n", &["doc", "softmax"]).code, Some(0));
    assert_eq!(
        with("[inspect]\njson = true\n", &["inspect", &crate::process::tiny("f32"), "--template"]).code,
        Some(0),
        "--template excludes --json"
    );
}

#[test]
fn a_file_that_says_what_is_no_flag_is_refused() {
    for (text, words) in [
        ("warmth = 1\n", "no command has a flag --warmth"),
        ("[chat]\nwarmth = 1\n", "`tl chat` has no flag --warmth"),
        ("[sing]\nloud = true\n", "there is no command `sing`"),
        ("[chat]\nstats = 3\n", "must be true or false"),
        ("[chat]\ntemperature = \"warm\"\n", "--temperature"),
        ("chat\n", "config.toml"),
    ] {
        let run = with(text, HELLO);
        assert_eq!((run.code, &run.stdout[..]), (Some(2), ""), "{text}: {run:?}");
        assert_contains(&run.stderr, &[words]);
    }
    let run = ended(command(HELLO).env("TL_CONFIG", "/nowhere.toml").output().unwrap());
    assert_eq!(run.code, Some(2));
    assert_contains(&run.stderr, &["/nowhere.toml", "TL_CONFIG="]);
}

//! Arguments that do not fit: the exit codes of usage and of devices.

use crate::process::{command, tiny, tl};
use crate::scratch::{Scratch, assert_contains};

#[test]
fn arguments_that_do_not_fit_the_model_are_usage_errors() {
    let model = tiny("f32");
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--tokens", "1", "--sinks", "8", "--ctx", "8"], &["--sinks 8 must be less than --ctx 8"]),
        (&["--tokens", "1", "--ctx", "0"], &["--ctx 0"]),
        (&["--tokens", "1", "--ctx", "99999999999"], &["--ctx 99999999999"]),
        (&["--tokens", "1", "--kv", "q8_0"], &["--kv q8_0", "a head has 8", "--kv f16"]),
        (&["--tokens", "307"], &["token 307", "vocabulary of 307"]),
        (&["--tokens", "1,4294967295"], &["token 4294967295"]),
        (&["--tokens", "1", "--temperature", "nan"], &["--temperature"]),
        (&["--tokens", "1", "--top-p", "1.5"], &["--top-p"]),
        (&["--tokens", "1", "--repeat-penalty", "0"], &["--repeat-penalty"]),
    ];
    for (flags, words) in cases {
        assert_contains(tl(&[&["generate", &model], flags].concat()).refusal(2), words);
    }
}

#[test]
fn arguments_that_do_not_parse_are_usage_errors() {
    let model = tiny("f32");
    let cases: [&[&str]; 10] = [
        &[],
        &["sing"],
        &["generate"],
        &["generate", &model],
        &["generate", &model, "--tokens", "1", "--prompt", "the"],
        &["generate", &model, "--tokens", "1,x"],
        &["generate", &model, "--tokens", "-1"],
        &["generate", &model, "--tokens", "1", "--kv", "q4_0"],
        &["generate", &model, "--tokens", "1", "--backend", "abacus"],
        &["chat", "--save-default", "x.gguf", "--prompt", "Hello"],
    ];
    for args in cases {
        let run = tl(args);
        assert_eq!((run.code, &run.stdout[..]), (Some(2), ""), "{args:?}: {run:?}");
        assert!(!run.stderr.is_empty() && !run.stderr.contains("panicked"), "{run:?}");
    }
}

#[test]
fn a_rule_or_variant_that_does_not_exist_is_an_error_that_lists_those_that_do() {
    for (variable, words) in [
        ("TL_RULES", ["no rule is called `flash`", "-norm_in_linear"]),
        ("TL_KERNELS", ["no kernel variant is called `flash`", "-split_attention"]),
    ] {
        let output = command(&["explain", &tiny("f32")]).env(variable, "-flash").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        words.iter().for_each(|word| assert!(stderr.contains(word), "{stderr}"));
    }
    let output = command(&["explain", &tiny("f32")]).env("TL_RULES", "-norm_in_linear").output().unwrap();
    let plan = String::from_utf8_lossy(&output.stdout);
    assert!(plan.contains("blk.0.attn_norm; norm_in_linear): the rule norm_in_linear is off"), "{plan}");
}

#[test]
fn a_prompt_longer_than_the_window_is_an_error_that_names_the_flag() {
    let run = tl(&["generate", &tiny("f32"), "--tokens", "1,2,3,4,5,6", "--ctx", "5"]);
    assert_contains(run.refusal(1), &["6 tokens", "window 5", "--ctx 6"]);
    let run = tl(&["chat", &tiny("f32"), "--prompt", "the and the and the and", "--ctx", "5"]);
    assert_contains(run.refusal(1), &["window 5", "--ctx"]);
    let exact = tl(&["generate", &tiny("f32"), "--tokens", "1,2,3,4,5,6", "--ctx", "6", "--max-tokens", "3"]);
    exact.answer();
}

#[test]
fn the_smallest_windows_work() {
    for (ctx, sinks) in [("1", "0"), ("2", "1"), ("3", "0"), ("17", "16")] {
        let run =
            tl(&["generate", &tiny("f32"), "--tokens", "1", "--ctx", ctx, "--sinks", sinks, "--max-tokens", "40", "--temperature", "0"]);
        assert!(!run.answer().is_empty());
    }
}

#[test]
fn a_backend_that_is_absent_lists_what_is_there() {
    let absent: &[&str] = if cfg!(target_os = "linux") {
        &["metal", "dx12"]
    } else if cfg!(target_os = "macos") {
        &["vulkan", "dx12"]
    } else {
        &["metal"]
    };
    for backend in absent {
        for command in [&["chat", "--prompt", "Hello"][..], &["generate", &tiny("f32"), "--tokens", "1"]] {
            let run = tl(&[command, &["--backend", backend]].concat());
            assert_contains(run.refusal(3), &[backend, "cpu: "]);
        }
    }
    let run = tl(&["chat", "--prompt", "Hello", "--backend", "auto", "--adapter", "abacus"]);
    assert_contains(run.refusal(3), &["abacus", "cpu: "]);
}

/// A number below 0 is a value of its flag, which says what it takes.
#[test]
fn a_negative_number_is_refused_in_the_words_of_its_flag() {
    let model = tiny("f32");
    let generate = ["generate", &model, "--prompt", "the"];
    for (flag, words) in [
        ("--seed", "leave --seed out for a random one"),
        ("-s", "leave --seed out for a random one"),
        ("--top-k", "whole number from 0"),
        ("--max-tokens", "whole number from 0"),
        ("-n", "whole number from 0"),
        ("--ctx", "whole number from 0"),
        ("-c", "whole number from 0"),
        ("--sinks", "whole number from 0"),
        ("--repeat-last-n", "whole number from 0"),
        ("--threads", "whole number from 0"),
        ("--temperature", "--temperature"),
        ("--min-p", "--min-p"),
    ] {
        let run = tl(&[&generate[..], &[flag, "-1"]].concat());
        assert_eq!((run.code, &run.stdout[..]), (Some(2), ""), "{flag}: {run:?}");
        assert_contains(&run.stderr, &[words]);
        assert!(!run.stderr.contains("unexpected argument") && !run.stderr.contains("-- -1"), "{run:?}");
    }
    let run = tl(&["generate", &model, "--tokens", "1,-1"]);
    assert_contains(&run.stderr, &["-1", "token ids are whole numbers from 0"]);
    let run = tl(&["generate", &model, "--tokens", "1", "--seed", "99999999999999999999"]);
    assert_contains(&run.stderr, &["18446744073709551615"]);
}

/// The names that llama.cpp and ollama use for the same things.
#[test]
fn flags_have_the_names_that_fingers_know() {
    let model = tiny("f32");
    let long = tl(&["generate", &model, "--prompt", "the", "--max-tokens", "6", "--ctx", "32", "--temperature", "1", "--seed", "3"]);
    let flags = ["-p", "the", "-n", "6", "-c", "32", "--temp", "1", "-s", "3", "-t", "1"];
    let short = tl(&[&["generate", "-m", &model], &flags[..]].concat());
    assert_eq!(short.answer(), long.answer());
    let short = tl(&[&["generate", &model, "--ctx-size", "32"], &flags[..4], &flags[6..]].concat());
    assert_eq!(short.answer(), long.answer());
    let run = tl(&["generate", &model, "-ngl", "99", "-p", "the", "-n", "1"]);
    assert!(run.code == Some(0) && run.stderr.contains("-ngl changes nothing"), "{run:?}");
    let hello = tl(&["chat", "--prompt", "Hello", "--temperature", "0"]);
    assert_eq!(tl(&["chat", "-p", "Hello", "--temp", "0"]).answer(), hello.answer());
    let (asked, words) =
        (tl(&["chat", &model, "-p", "the", "-n", "4", "--temp", "0"]), tl(&["chat", &model, "the", "-n", "4", "--temp", "0"]));
    assert_eq!(words.answer(), asked.answer());
    assert_eq!(tl(&["generate", "-p", "the"]).code, Some(2));
    // A flag that nobody knows is no value, and no hint says so.
    let run = tl(&["chat", "-x"]);
    assert!(run.code == Some(2) && run.stderr.contains("unexpected argument '-x'") && !run.stderr.contains("-- -x"), "{run:?}");
}

#[test]
fn what_is_no_file_or_another_kind_of_file_says_what_to_type() {
    let scratch = Scratch::new("kinds");
    for command in ["chat", "inspect"] {
        for name in ["llama3", "owner/model", "https://huggingface.co/owner/model"] {
            let run = tl(&[command, name]);
            assert_contains(run.refusal(1), &[&format!("no file or folder `{name}`"), "GGUF", "https://", "`tl chat` alone"]);
        }
        let line = tl(&[command, "/nowhere/m.gguf"]);
        let line = line.refusal(1);
        assert!(line.contains("no file or folder `/nowhere/m.gguf`") && !line.contains("https"), "{line}");
    }
    let (model, program) = (tiny("f32"), scratch.path("p.tl"));
    std::fs::write(&program, "print(1)").unwrap();
    for (path, command) in [(&model[..], "chat"), (program.to_str().unwrap(), "run")] {
        let run = tl(&[path]);
        assert_eq!(run.code, Some(2));
        assert_contains(&run.stderr, &["not a command", &format!("`tl {command} {path}`")]);
    }
    let bare = scratch.path("model");
    std::fs::copy(&model, &bare).unwrap();
    for path in [&model[..], bare.to_str().unwrap()] {
        for command in ["run", "test", "fmt"] {
            assert_contains(tl(&[command, path]).refusal(2), &["is a model, not a program", &format!("`tl chat {path}`")]);
        }
    }
    let program = program.to_str().unwrap();
    assert_contains(tl(&["chat", program, "-p", "Hi"]).refusal(2), &["is a program, not a model", &format!("`tl run {program}`")]);
}

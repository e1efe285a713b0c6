//! What the commands answer, and where they print it.

use std::io::Read;
use std::process::Stdio;

use crate::models::Parts;
use crate::process::{command, tiny, tl, tl_reading};
use crate::scratch::Scratch;

const HELLO: &str = "Hello! How can I help you today?\n";

#[test]
fn the_built_in_model_says_hello() {
    let run = tl(&["chat", "--prompt", "Hello", "--temperature", "0", "--backend", "cpu"]);
    assert_eq!(run.answer(), HELLO);
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[test]
fn a_pipe_is_one_message_a_line_and_one_conversation() {
    let run = tl_reading(&["chat", "--temperature", "0"], "Hello\n\n   \nMy name is Ada.\nWhat is my name?");
    let lines: Vec<&str> = run.answer().lines().collect();
    assert_eq!(lines.len(), 3, "{run:?}");
    assert_eq!(lines[0], HELLO.trim_end());
    assert!(lines[2].contains("Ada"), "{run:?}");
    assert_eq!(tl_reading(&["chat"], "").answer(), "");
}

#[test]
fn the_saved_built_in_model_answers_as_it_does() {
    let scratch = Scratch::new("default");
    let path = scratch.path("demo.gguf");
    let path = path.to_str().unwrap();
    let saved = tl(&["chat", "--save-default", path]);
    assert_eq!((saved.code, &saved.stdout[..]), (Some(0), ""), "{saved:?}");
    for extra in [&[][..], &["--no-mmap"]] {
        let run = tl(&[&["chat", path, "--prompt", "Hello", "--temperature", "0"], extra].concat());
        assert_eq!(run.answer(), HELLO);
    }
    assert_eq!(tl(&["chat", "--save-default", "/nowhere/demo.gguf"]).code, Some(1));
}

#[test]
fn stats_go_to_stderr() {
    let run = tl(&["chat", "--prompt", "Hello", "--temperature", "0", "--stats"]);
    assert_eq!((run.code, &run.stdout[..]), (Some(0), HELLO));
    assert!(matches!(run.said()[..], [line] if line.contains("tok/s")), "{run:?}");
}

#[test]
fn a_file_without_a_template_is_asked_in_chatml_and_says_so() {
    let scratch = Scratch::new("no-template");
    let (model, chatml) = (scratch.path("bare.gguf"), scratch.path("chatml.jinja"));
    std::fs::write(&model, Parts::tiny().without_keys("tokenizer.chat_template").bytes()).unwrap();
    let text = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}\
                <|im_start|>assistant\n{% endif %}";
    std::fs::write(&chatml, text).unwrap();
    let args = ["chat", model.to_str().unwrap(), "--prompt", "the", "--temperature", "0", "--max-tokens", "12"];
    let default = tl(&args);
    let said = "note: the file has no chat template, ChatML is used; --template FILE gives another";
    assert_eq!((default.code, default.said()), (Some(0), vec![said]), "{default:?}");
    let given = tl(&[&args[..], &["--template", chatml.to_str().unwrap()]].concat());
    assert_eq!(given.answer(), default.stdout);
    let own = tl(&[&["chat", &tiny("f32")], &args[2..]].concat());
    assert_ne!(own.answer(), default.stdout, "the file's own template is another");
}

#[test]
fn a_model_in_parts_answers_as_it_does_whole() {
    let scratch = Scratch::new("parts");
    let whole = Parts::tiny();
    let n_tensors = whole.tensors.len();
    let path = |no: usize| scratch.path(&format!("tiny-{no:05}-of-00003.gguf"));
    for (i, tensors) in whole.tensors.chunks(n_tensors.div_ceil(3)).enumerate() {
        let metadata = if i == 0 { whole.metadata.clone() } else { Vec::new() };
        let part = Parts { metadata, tensors: tensors.to_vec() };
        let part = part.set("split.no", i as u32).set("split.count", 3u32).set("split.tensors.count", n_tensors as u32);
        std::fs::write(path(i + 1), part.bytes()).unwrap();
    }
    let rest = ["--tokens", "1,267", "--max-tokens", "8", "--temperature", "0"];
    let answer = |model: &str| tl(&[&["generate", model], &rest[..]].concat()).answer().to_owned();
    for no in 1..=3 {
        assert_eq!(answer(path(no).to_str().unwrap()), answer(&tiny("f32")), "named by part {no}");
    }
}

#[test]
fn each_kind_of_cache_and_precise_arithmetic_answer() {
    for flags in [&["--kv", "f32"][..], &["--kv", "f16"], &["--kv", "q8_0"], &["--precise", "--kv", "f32"]] {
        let run = tl(&[&["chat", "--prompt", "Hello", "--temperature", "0"], flags].concat());
        assert_eq!(run.answer(), HELLO, "{flags:?}");
    }
}

#[test]
fn json_is_stable() {
    let model = tiny("f32");
    let args = ["generate", &model, "--prompt", "the", "--temperature", "0", "--max-tokens", "12"];
    let parsed =
        |extra: &[&str]| -> serde_json::Value { serde_json::from_str(tl(&[&args[..], &["--json"], extra].concat()).answer()).unwrap() };
    let json = parsed(&[]);
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["text", "prompt_ids", "ids", "finish", "prefill_seconds", "decode_seconds", "decode_tokens_per_second"],
        "the keys, in their order"
    );
    assert_eq!(json["finish"], "length");
    assert_eq!(json["prompt_ids"], serde_json::json!([1, 267]));
    assert_eq!(json["ids"].as_array().unwrap().len(), 12);
    assert_eq!(tl(&args[..]).answer(), format!("{}\n", json["text"].as_str().unwrap()));
    for key in ["text", "prompt_ids", "ids", "finish"] {
        assert_eq!(parsed(&[])[key], json[key]);
    }
    let by_ids = tl(&["generate", &model, "--tokens", "1,267", "--temperature", "0", "--max-tokens", "12", "--json"]);
    let by_ids: serde_json::Value = serde_json::from_str(by_ids.answer()).unwrap();
    assert_eq!((&by_ids["ids"], &by_ids["text"]), (&json["ids"], &json["text"]));
}

#[test]
fn a_seed_decides() {
    let model = tiny("f32");
    let drawn =
        |seed: &str| tl(&["generate", &model, "--tokens", "1,267", "--temperature", "1", "--max-tokens", "24", "--seed", seed, "--json"]);
    let ids = |seed: &str| serde_json::from_str::<serde_json::Value>(drawn(seed).answer()).unwrap()["ids"].clone();
    assert_eq!(ids("7"), ids("7"));
    assert_ne!(ids("7"), ids("8"));
    assert_ne!(ids("1"), ids("4294967297"), "the upper half of a seed counts");
}

#[test]
fn help_and_version_are_no_failures() {
    for args in [&["--help"][..], &["--version"], &["chat", "--help"]] {
        let run = tl(args);
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
        assert!(!run.stdout.is_empty() && run.stderr.is_empty(), "{args:?}: {run:?}");
    }
}

#[test]
fn a_program_that_fails_has_code_one() {
    let scratch = Scratch::new("program");
    let path = scratch.path("p.tl");
    let path = path.to_str().unwrap();
    for (text, code, stdout) in [("print(1 + 1)", 0, "2\n"), ("print(1)\nassert(1 == 2, \"odd\")", 1, "1\n"), ("let x = [1", 1, "")] {
        std::fs::write(path, text).unwrap();
        let run = tl(&["run", path]);
        assert_eq!((run.code, &run.stdout[..]), (Some(code), stdout), "{text}: {run:?}");
        assert_eq!(run.stderr.contains("error: "), code == 1, "{run:?}");
    }
    assert_eq!(tl(&["run", "/nowhere.tl"]).code, Some(1));
    std::fs::write(path, "test good { assert(true) }\ntest bad { assert(false, \"odd\") }").unwrap();
    let run = tl(&["test", path]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.ends_with("1 passed, 1 failed\n"), "{run:?}");
    assert_eq!(tl(&["test", path, "--filter", "good"]).code, Some(0));
}

/// A reader that leaves after the first byte, as `head -c 1` does.
#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (model, scratch) = (tiny("f32"), Scratch::new("reader"));
    let path = scratch.path("p.tl");
    std::fs::write(&path, "print(rand([64, 64]))\ntest good { assert(true) }").unwrap();
    let path = path.to_str().unwrap();
    let cases: [&[&str]; 17] = [
        &["generate", &model, "--tokens", "1,267", "--max-tokens", "100000", "--temperature", "0"],
        &["chat", &model, "--prompt", "the", "--max-tokens", "100000", "--temperature", "0"],
        &["generate", &model, "--tokens", "1,267", "--max-tokens", "4", "--json"],
        &["chat", "--prompt", "Hello"],
        &["inspect", &model],
        &["inspect", &model, "--tensors", "--metadata", "--tokenizer"],
        &["tokenize", &model, "the and"],
        &["trace", &model, "--tokens", "1,2"],
        &["explain", &model],
        &["explain", &model, "--dot"],
        &["bench", &model, "-p", "4", "-n", "2", "-r", "1"],
        &["devices"],
        &["doctor", "--filter", "rms_norm"],
        &["doc"],
        &["run", path],
        &["test", path],
        &["--help"],
    ];
    for args in cases {
        let mut child = command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        if args.contains(&"100000") {
            stdout.read_exact(&mut [0]).unwrap();
        }
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        assert!(stderr.lines().all(|line| line.starts_with("cpu: ")), "{args:?}: {stderr}");
    }
}

/// A machine without a driver, and one with a software driver alone.
#[cfg(target_os = "linux")]
#[test]
fn without_a_gpu_the_cpu_answers_and_one_line_says_so() {
    let lavapipe = std::fs::read_dir("/usr/share/vulkan/icd.d").into_iter().flatten().flatten();
    let lavapipe = lavapipe.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("lvp_icd"));
    if lavapipe.is_none() {
        println!("skipped: lavapipe is not installed");
    }
    for drivers in [Some(std::path::PathBuf::from("/nonexistent")), lavapipe].into_iter().flatten() {
        let mut command = command(&["chat", "--prompt", "Hello", "--temperature", "0"]);
        command.env_remove("TL_BACKEND").env("VK_DRIVER_FILES", &drivers).env("VK_ICD_FILENAMES", &drivers);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), &stdout[..]), (Some(0), HELLO), "{drivers:?}: {stderr}");
        let said: Vec<&str> = stderr.lines().collect();
        assert!(matches!(said[..], [line] if line.starts_with("cpu: ") && line.ends_with("(no GPU found)")), "{drivers:?}: {stderr}");
    }
}

/// `tl … 2>&1 >file | true`: what is said about an answer is not worth the answer.
#[test]
fn an_answer_comes_though_nobody_reads_stderr() {
    let mut child = command(&["chat", "--prompt", "Hello", "--temperature", "0", "--stats"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), HELLO.as_bytes()));
}

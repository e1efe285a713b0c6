//! The commands that look inside, as a user runs them: trace, bench, explain and the REPL.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn temporary(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("inside");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn tl(args: &[&str]) -> Output {
    tl_with_input(args, "")
}

fn tl_with_input(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tl"))
        .args(args)
        .env("TL_BACKEND", "cpu")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The standard output of a command that succeeds.
fn shown(args: &[&str]) -> String {
    let output = tl(args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {:?}\n{out}\n{err}", output.status.code());
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const TINY: &str = "tiny-f32.gguf";
const PROMPT: &str = "--tokens=1,5,9,3";

#[test]
fn a_trace_shows_every_named_step_and_that_fusion_is_off() {
    let out = shown(&["trace", &fixture(TINY), PROMPT]);
    for step in ["embedding", "blk.0.attn_norm", "blk.0.q_rope", "blk.0.silu_gate", "blk.0.output", "final_norm", "logits"] {
        assert!(out.lines().any(|l| l.starts_with(&format!("{step} "))), "no {step} in\n{out}");
    }
    assert!(out.contains("fusion is off") && out.contains("rms"), "{out}");
}

#[test]
fn a_layer_and_every_op_with_its_place() {
    let out = shown(&["trace", &fixture(TINY), PROMPT, "--layer", "1", "--every-op"]);
    assert!(!out.contains("blk.0."), "{out}");
    for step in ["blk.1.q ", "blk.1.attn_norm "] {
        let place = out.lines().find(|l| l.starts_with(step)).and_then(|l| l.split_whitespace().last()).unwrap();
        let parts: Vec<&str> = place.rsplitn(3, ':').collect();
        assert!(parts[0].parse::<u32>().is_ok() && parts[1].parse::<u32>().is_ok() && parts[2].ends_with("llama.tl"), "{place}");
    }
    let none = tl(&["trace", &fixture(TINY), PROMPT, "--layer", "77"]);
    assert!(!none.status.success() && text(&none.stderr).contains("layer 77"), "{}", text(&none.stderr));
}

#[test]
fn the_tiny_model_agrees_with_its_file_and_with_the_definition_at_every_step() {
    for precise in [&[][..], &["--precise", "--kv", "f32"]] {
        for (model, reference) in
            [(TINY, fixture("tiny-f32.safetensors")), (TINY, "exact".to_owned()), ("tiny-q4_0.gguf", "exact".to_owned())]
        {
            let mut args = vec!["trace".to_owned(), fixture(model), "--reference".to_owned(), reference.clone()];
            if reference == "exact" {
                args.push(PROMPT.to_owned());
            }
            args.extend(precise.iter().map(|a| (*a).to_owned()));
            let out = shown(&args.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(out.contains("steps agree within"), "{out}");
        }
    }
}

#[test]
fn a_decode_step_agrees_with_the_definition() {
    let out = shown(&["trace", &fixture(TINY), PROMPT, "--step", "3", "--reference", "exact", "--precise", "--kv", "f32"]);
    assert!(out.contains("1 token from position 6") && out.contains("steps agree within"), "{out}");
}

#[test]
fn the_first_step_that_differs_is_named_with_its_place() {
    let path = temporary("other.safetensors");
    let path = path.to_str().unwrap();
    shown(&["trace", &fixture(TINY), "--tokens=1,5,9,4", "--out", path, "--force"]);
    let output = tl(&["trace", &fixture(TINY), PROMPT, "--reference", path]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let marked: Vec<&str> = out.lines().filter(|l| l.starts_with("->")).collect();
    assert!(marked.len() == 1 && marked[0].contains("embedding") && marked[0].contains(".tl:"), "{out}");
    assert!(out.contains("likely reasons"), "{out}");
}

#[test]
fn what_was_written_agrees_and_a_mapping_renames() {
    let (path, map) = (temporary("same.safetensors"), temporary("map.json"));
    let path = path.to_str().unwrap();
    shown(&["trace", &fixture(TINY), PROMPT, "--out", path, "--force"]);
    assert!(shown(&["trace", &fixture(TINY), "--reference", path]).contains("steps agree within"));
    std::fs::write(&map, r#"{"blk.0.q": "blk.0.q_rope"}"#).unwrap();
    let output = tl(&["trace", &fixture(TINY), "--reference", path, "--mapping", map.to_str().unwrap()]);
    assert!(text(&output.stdout).contains("first step that differs: blk.0.q "), "{}", text(&output.stdout));
}

#[test]
fn runs_and_backends_are_compared() {
    assert!(shown(&["trace", &fixture(TINY), PROMPT, "--runs", "3"]).contains("3 runs are equal in every bit"));
    assert!(shown(&["trace", &fixture(TINY), PROMPT, "--compare-backends", "cpu,cpu"]).contains("steps agree within"));
    assert_eq!(tl(&["trace", &fixture(TINY), PROMPT, "--compare-backends", "cpu"]).status.code(), Some(2));
    assert_eq!(tl(&["trace", &fixture(TINY)]).status.code(), Some(2), "nothing to feed");
}

#[test]
fn a_program_is_traced_by_its_names() {
    let path = temporary("program.tl");
    std::fs::write(&path, "let x = tensor([[1.0, 2.0], [3.0, 4.0]])\nlet y = x * 2.0 + 1.0\nlet z = softmax(y)\nprint(z)\n").unwrap();
    let path = path.to_str().unwrap();
    let out = shown(&["trace", path]);
    assert!(out.lines().any(|l| l.starts_with("y ")) && out.lines().any(|l| l.starts_with("z ")), "{out}");
    assert!(shown(&["trace", path, "--reference", "exact"]).contains("steps agree within"));
    assert!(shown(&["trace", path, "--every-op"]).contains("program.tl:2:"));
    assert!(shown(&["explain", path]).contains("steps"));
}

#[test]
fn a_program_with_tensors_of_its_own_is_looked_into_as_any() {
    let path = temporary("own.tl");
    let end = "    let unread = mean(logits, -1)\n    let logits = logits * 1.0 + T * [0.5]\n    logits\n}";
    std::fs::write(&path, include_str!("../src/lang/std/llama.tl").replace("    logits\n}", end)).unwrap();
    let (model, arch) = (fixture(TINY), ["--arch", path.to_str().unwrap()]);
    let with_arch = |args: &[&str]| shown(&[args, &arch[..]].concat());
    let trace = with_arch(&["trace", &model, "--tokens=1,5,9", "--reference", "exact", "--precise", "--kv", "f32"]);
    assert!(trace.contains("steps agree within") && trace.lines().any(|l| l.starts_with("unread ")), "{trace}");
    let step = with_arch(&["trace", &model, "--tokens=1,5,9", "--step", "4", "--reference", "exact", "--precise", "--kv", "f32"]);
    assert!(step.contains("steps agree within"), "{step}");
    let plan = with_arch(&["explain", &model, "--tokens", "3"]);
    let said = "each number of tokens has a step of its own, since the program depends on the number of tokens at ";
    assert!(plan.lines().any(|l| l.starts_with(said) && l.contains("own.tl:")), "{plan}");
    assert!(!shown(&["explain", &model, "--tokens", "3"]).contains("a step of its own"));
    with_arch(&["bench", &model, "-p", "5", "-n", "4", "-r", "1", "--ctx", "64", "--kernels"]);
}

#[test]
fn a_bench_report_is_json_that_a_baseline_reads() {
    let args = ["bench", &fixture(TINY), "-p", "8", "-n", "4", "-r", "2", "--ctx", "64", "--kernels", "--json"];
    let json = shown(&args);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((report["prefill"]["tokens"].as_u64(), report["decode"]["tokens"].as_u64()), (Some(8), Some(4)));
    assert!(report["decode"]["tokens_per_second"]["median"].as_f64().unwrap() > 0.0, "{json}");
    assert!(report["decode"]["bandwidth_share"].as_f64().is_some() && report["load_seconds"]["median"].as_f64().is_some(), "{json}");
    assert!(report["device_bytes"].as_u64().unwrap() > 0);
    let kernels = report["kernels"].as_array().unwrap();
    assert!(kernels.iter().any(|k| k["name"].as_str().unwrap().starts_with("attention") && k["bytes"].as_f64().unwrap() > 0.0), "{json}");
    let (saved, plot) = (temporary("baseline.json"), temporary("plot.svg"));
    std::fs::write(&saved, &json).unwrap();
    let (saved, svg) = (saved.to_str().unwrap(), plot.to_str().unwrap());
    let again =
        shown(&["bench", &fixture(TINY), "-p", "8", "-n", "4", "-r", "2", "--ctx", "64", "--baseline", saved, "--plot", svg, "--force"]);
    assert!(again.contains("prefill 8") && again.contains("against the baseline"), "{again}");
    for drawn in [plot.clone(), plot.with_extension("context.svg")] {
        assert!(std::fs::read_to_string(&drawn).unwrap().starts_with("<svg"), "{}", drawn.display());
    }
}

#[test]
fn bench_blocks_are_measured() {
    let path = temporary("benches.tl");
    std::fs::write(&path, "bench square {\n    let x = ones(16, 16)\n    let y = x @ x\n}\n").unwrap();
    let json = shown(&["bench", path.to_str().unwrap(), "-r", "3", "--json"]);
    let blocks: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((blocks[0]["name"].as_str(), blocks[0]["seconds"]["n"].as_u64()), (Some("square"), Some(3)), "{json}");
}

#[test]
fn a_decode_step_has_five_steps_a_layer() {
    let out = shown(&["explain", &fixture(TINY)]);
    let steps = out.lines().filter(|l| l.trim_start().starts_with(|c: char| c.is_ascii_digit()) && l.contains("blk.0.")).count();
    assert_eq!(steps, 5, "{out}");
    let dot = shown(&["explain", &fixture(TINY), "--tokens", "4", "--dot"]);
    assert!(dot.starts_with("digraph plan {") && dot.trim_end().ends_with('}'), "{dot}");
}

#[test]
fn the_repl_keeps_state_and_goes_on_after_an_error() {
    let output =
        tl_with_input(&["repl"], "let x = 20\nnonsense +\n\nlet f = fn(a) {\n    a + x\n}\nfn g(a) {\n    a * 2\n}\nx + 1\ng(x) + 2\n");
    let out = text(&output.stdout);
    assert!(out.contains("21") && out.contains("42"), "{out}\n{}", text(&output.stderr));
    assert!(!text(&output.stderr).is_empty());
}

/// In a program of its own every function's variables are steps, after the function's name.
#[test]
fn the_steps_of_a_programs_functions_are_named() {
    let file = temporary("functions.tl");
    std::fs::write(&file, "fn half(x) {\n    let y = x * 0.5\n    y\n}\nlet a = half(arange(0.0, 4.0))\nlet b = half(a)\nprint(b)\n")
        .unwrap();
    let out = shown(&["trace", file.to_str().unwrap()]);
    for step in ["half.y ", "half.y#2 "] {
        assert!(out.lines().any(|l| l.starts_with(step)), "no {step} in\n{out}");
    }
}

#[test]
fn arguments_that_say_nothing_are_refused() {
    for (args, says) in [
        (&["trace", &fixture(TINY), PROMPT, "--step", "0"][..], "counted from 1"),
        (&["explain", "--dot", "--shader", "list"], "cannot be used with"),
        (&["doctor", "--filter", "nosuch"], "no check's name holds `nosuch`"),
        (&["bench", &fixture(TINY), "--plot", "/nosuch/folder/f.svg"], "there is no folder"),
    ] {
        let output = tl(args);
        assert!(!output.status.success() && text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{args:?} printed before it refused");
    }
}

/// A faulty model would generate other tokens: a decode step is fed what its reference was fed.
#[test]
fn a_decode_step_follows_its_reference() {
    let file = temporary("step.safetensors");
    let file = file.to_str().unwrap();
    shown(&["trace", &fixture(TINY), PROMPT, "--step", "3", "--out", file, "--force"]);
    for args in [&[][..], &["--step", "3"], &[PROMPT, "--step", "3"]] {
        let out = shown(&[&["trace", &fixture(TINY), "--reference", file], args].concat());
        assert!(out.contains("1 token from position 6") && out.contains("steps agree"), "{out}");
    }
}

#[test]
fn a_checks_report_has_every_mode() {
    let out = shown(&["doctor", "--filter", "rms_norm", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let modes = report["modes"].as_array().unwrap();
    let names: Vec<&str> = modes.iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "precise"]);
    assert!(modes.iter().all(|m| m["kernels"][0]["kernel"] == "rms_norm" && m["kernels"][0]["passed"] == m["kernels"][0]["cases"]));
    assert!(!report["device"].as_str().unwrap().contains("precise") && report["failed"] == 0, "{out}");
}

#[test]
fn a_mapping_that_names_no_step_is_noted() {
    let (file, map) = (temporary("mapped.safetensors"), temporary("mapping.json"));
    shown(&["trace", &fixture(TINY), PROMPT, "--out", file.to_str().unwrap(), "--force"]);
    std::fs::write(&map, r#"{"blk.0.quue": "blk.0.q"}"#).unwrap();
    let output = tl(&["trace", &fixture(TINY), "--reference", file.to_str().unwrap(), "--mapping", map.to_str().unwrap()]);
    assert!(output.status.success() && text(&output.stderr).contains("names `blk.0.quue`, and no step is called that"), "{output:?}");
}

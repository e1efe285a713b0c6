//! What the command prints of a comparison, and in which order.

use std::process::Command;

use super::planted::{MODEL, Mode, backend, faulty, load, program, trace_of};
use crate::scratch::Scratch;
use crate::support::fixture;
use tensorlogic::format::ModelFile;
use tensorlogic::graph::KvType;
use tensorlogic::trace::to_safetensors;

fn tl(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tl")).args(args).env("TL_BACKEND", "cpu").output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The order in which words are found in a text.
fn assert_in_order(text: &str, words: &[&str]) {
    let mut from = 0;
    for word in words {
        let at = text[from..].find(word).unwrap_or_else(|| panic!("`{word}` does not follow in\n{text}"));
        from += at + word.len();
    }
}

#[test]
fn the_verdict_stands_before_the_table_and_marks_are_explained() {
    let scratch = Scratch::new("blame-shown");
    let (good, arch) = (scratch.path("reference.safetensors"), scratch.path("faulty.tl"));
    let file = ModelFile::open(&fixture(&format!("{MODEL}.gguf")), true).unwrap();
    to_safetensors(&trace_of(&load(file, None, &backend(Mode::Precise), KvType::F32)), &good).unwrap();
    let planted = program("an activation", &[("silu(gate)", "gelu(gate)")], "", &[]);
    faulty(&planted, &backend(Mode::Precise), &scratch);
    let model = fixture(&format!("{MODEL}.gguf")).display().to_string();
    let (good, arch) = (good.display().to_string(), arch.display().to_string());
    for mode in [&["--precise", "--kv", "f32"][..], &[]] {
        let (ok, out) = tl(&[&["trace", &model, "--arch", &arch, "--reference", &good], mode].concat());
        assert!(!ok);
        let parts = [
            "compared with",
            "verdict: the program, its weights or its metadata are not the reference's",
            "first step that differs: blk.0.silu_gate at",
            "likely reasons, the likeliest first:",
            "silu for gelu",
            "-> ",
            "blk.0.silu_gate",
            "marks: -> the first step that differs",
            "error and allowed: ",
        ];
        assert_in_order(&out, &parts);
        assert!(!out.contains("errors grow"), "{out}");
    }
}

#[test]
fn agreement_says_how_much_was_allowed_and_what_precise_would_see() {
    let scratch = Scratch::new("blame-agrees");
    let good = scratch.path("reference.safetensors");
    let file = ModelFile::open(&fixture(&format!("{MODEL}.gguf")), true).unwrap();
    to_safetensors(&trace_of(&load(file, None, &backend(Mode::Precise), KvType::F32)), &good).unwrap();
    let model = fixture(&format!("{MODEL}.gguf")).display().to_string();
    let good = good.display().to_string();
    let (ok, out) = tl(&["trace", &model, "--reference", &good]);
    assert!(ok, "{out}");
    let parts = [
        "verdict: 35 steps agree within",
        "nearest to what is allowed: ",
        "from the reference's own inputs the program gives its values, too: 35 of 35 steps",
        "a fault of the backend that changes a step by less than is allowed is not seen; `--precise --kv f32` allows 4e-6, a 250th of it",
        "error and allowed: ",
    ];
    assert_in_order(&out, &parts);
    let (ok, out) = tl(&["trace", &model, "--reference", &good, "--precise", "--kv", "f32"]);
    assert!(ok && out.contains("verdict: 35 steps agree") && !out.contains("--precise --kv f32"), "{out}");
}

//! A model whose `general.architecture` nobody knows, run by the one file that says what it computes.

use std::path::{Path, PathBuf};
use std::process::Command;

use tensorlogic::format::{GgufWriter, ModelFile};

use crate::exact::{Exact, check};
use crate::scratch::Scratch;
use crate::support::fixture;
use crate::support::programs::Mode;

const TOKENS: [i32; 20] = [1, 270, 14, 301, 77, 5, 263, 290, 290, 291, 30, 18, 299, 264, 7, 100, 211, 280, 9, 266];

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/made_up/parallel.tl")
}

/// tiny-f32 as a file of the architecture `parallel`.
fn model(scratch: &Scratch) -> PathBuf {
    let tiny = ModelFile::open(&fixture("tiny-f32.gguf"), false).unwrap();
    let mut out = GgufWriter::new();
    for (key, value) in tiny.metadata().iter() {
        out.set(&key.replace("llama.", "parallel."), value.clone());
    }
    out.set("general.architecture", "parallel");
    for tensor in tiny.tensors().tensors() {
        out.tensor(&tensor.name, tensor.shape.clone(), tensor.dtype, tiny.data(&tensor.name).unwrap());
    }
    let path = scratch.path("parallel.gguf");
    out.save(&path).unwrap();
    path
}

#[test]
fn one_file_makes_an_architecture() {
    let scratch = Scratch::new("made-up-architecture");
    let model = model(&scratch);
    let file = ModelFile::open(&model, false).unwrap();
    let exact = Exact::of(&file, true).logits(&TOKENS);
    let llama = Exact::of(&file, false).logits(&TOKENS);
    assert!(exact.iter().zip(&llama).any(|(a, b)| (a - b).abs() > 0.1), "the residuals make a difference");
    let modes: Vec<Mode> = Mode::all().into_iter().map(|mode| mode.with_arch(&program())).collect();
    check(&modes, &model, &TOKENS, &exact, 5e-3);
}

#[test]
fn the_command_line_takes_the_file() {
    let scratch = Scratch::new("made-up-command");
    let (model, program) = (model(&scratch), program());
    let tl = |arch: &[&str]| {
        let args = ["generate", model.to_str().unwrap(), "--backend", "cpu", "--tokens", "1,270,14,301", "--max-tokens", "4", "--json"];
        Command::new(env!("CARGO_BIN_EXE_tl")).args(args).args(arch).output().unwrap()
    };
    let without = tl(&[]);
    let said = String::from_utf8(without.stderr).unwrap();
    assert_eq!(without.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains("architecture `parallel` is unknown: known are "), "{said}");
    assert!(last.ends_with("; give its program with --arch FILE.tl"), "{said}");
    let with = tl(&["--arch", program.to_str().unwrap()]);
    assert_eq!(with.status.code(), Some(0), "{}", String::from_utf8_lossy(&with.stderr));
    assert!(!with.stdout.is_empty());
}

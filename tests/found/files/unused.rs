//! Every tensor of a file is used by its program, or named there as not needed, or the file is refused with the names.

use std::path::Path;
use std::process::Command;

use super::{TOKENS, apart, logits};
use crate::scratch::{Scratch, assert_contains};
use crate::support::parts::Parts;
use crate::support::programs::Mode;

/// Sizes of tiny-f32.
const LAYERS: usize = 2;
const WIDTH: usize = 32;
const KV_WIDTH: usize = 16;
const HEAD: usize = 8;
const FFN: usize = 72;

#[test]
fn the_biases_of_a_llama_are_used() {
    let scratch = Scratch::new("biases");
    let run = |name: &str, parts: Parts| logits(&parts.save(scratch.path(&format!("{name}.gguf")))).unwrap();
    let plain = run("plain", Parts::of("tiny-f32"));
    for (name, len) in
        [("attn_q", WIDTH), ("attn_k", KV_WIDTH), ("attn_v", KV_WIDTH), ("attn_output", WIDTH), ("ffn_gate", FFN), ("ffn_up", FFN)]
    {
        let biased = run(name, Parts::of("tiny-f32").vectors(&format!("blk.*.{name}.bias"), LAYERS, len, 0.5));
        assert!(apart(&plain, &biased) > 1e-3, "the bias of {name} changes the logits");
    }

    // The weights of attention add up to 1: a bias of the values reaches the output as one of the projection behind them.
    let tiny = Parts::of("tiny-f32");
    let projection = tiny.values("blk.0.attn_output.weight");
    let by_group: Vec<f32> = (0..KV_WIDTH).map(|i| 0.1 * i as f32 - 0.7).collect();
    let per_group = WIDTH / KV_WIDTH;
    let by_head: Vec<f32> = (0..WIDTH).map(|i| by_group[i / HEAD / per_group * HEAD + i % HEAD]).collect();
    let projected: Vec<f32> = projection.chunks_exact(WIDTH).map(|row| row.iter().zip(&by_head).map(|(w, b)| w * b).sum()).collect();
    let before = run("before", Parts::of("tiny-f32").tensor("blk.0.attn_v.bias", [KV_WIDTH], &by_group));
    let behind = run("behind", tiny.tensor("blk.0.attn_output.bias", [WIDTH], &projected));
    assert!(apart(&plain, &before) > 1e-2 && apart(&before, &behind) < 1e-5, "{}", apart(&before, &behind));

    // The last projection adds to the residual stream as the one before it does.
    let down = run("down", Parts::of("tiny-f32").vectors("blk.1.ffn_down.bias", 1, WIDTH, 0.25));
    assert!(apart(&plain, &down) > 1e-3);
}

#[test]
fn the_bias_of_the_output_is_added_to_the_logits() {
    let scratch = Scratch::new("output-bias");
    let tied = Parts::of("tiny-f32");
    let embedding = tied.values("token_embd.weight");
    let rows = embedding.len() / WIDTH;
    let tiny = tied.tensor("output.weight", [rows, WIDTH], &embedding);
    let bias: Vec<f32> = (0..rows).map(|i| i as f32 / 64.0).collect();
    let plain = logits(&tiny.save(scratch.path("plain.gguf"))).unwrap();
    let biased = logits(&tiny.tensor("output.bias", [rows], &bias).save(scratch.path("biased.gguf"))).unwrap();
    let expected: Vec<f32> = plain.chunks_exact(rows).flat_map(|row| row.iter().zip(&bias).map(|(l, b)| l + b)).collect();
    assert!(apart(&biased, &expected) < 1e-5);
}

#[test]
fn a_tensor_that_no_step_uses_is_refused_by_name() {
    let scratch = Scratch::new("unused");
    let tiny = || Parts::of("tiny-f32");
    let cases: [(&str, Parts, &[&str]); 4] = [
        (
            "norms",
            tiny().vectors("blk.*.attn_q_norm.weight", LAYERS, HEAD, 1.0).vectors("blk.*.attn_k_norm.weight", LAYERS, HEAD, 1.0),
            &[
                "std/llama.tl does not use 4 of",
                "`blk.0.attn_k_norm.weight`",
                ", …",
                "ignore(\"blk.*.attn_k_norm.weight\")",
                "--arch FILE.tl",
            ],
        ),
        (
            "a-layer-less",
            tiny().set("llama.block_count", 1u32),
            &["does not use 9 of", "behind the 1 layers of `llama.block_count`", "`blk.1."],
        ),
        ("one", tiny().vectors("blk.*.attn_rot.weight", 1, HEAD, 1.0), &["does not use 1 of", "`blk.0.attn_rot.weight`;"]),
        ("scale", tiny().tensor("blk.0.attn_q.scale", [1], &[2.0]), &["`blk.0.attn_q.scale`"]),
    ];
    for (name, parts, words) in cases {
        let path = parts.save(scratch.path(&format!("{name}.gguf")));
        let error = logits(&path).unwrap_err();
        assert!(!error.contains('\n'), "{error}");
        assert_contains(&error, words);
        assert_contains(&error, &[path.to_str().unwrap()]);
    }
}

#[test]
fn every_command_refuses_such_a_file_and_inspect_says_so() {
    let scratch = Scratch::new("unused-commands");
    let path = Parts::of("tiny-f32").vectors("blk.*.attn_q_norm.weight", LAYERS, HEAD, 1.0).save(scratch.path("norms.gguf"));
    let model = path.to_str().unwrap();
    let program = scratch.path("loads.tl");
    std::fs::write(&program, format!("let m = load_model({model:?})\nprint(1)\n")).unwrap();
    let tl = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_tl")).args(args).output().unwrap();
    let commands: [&[&str]; 4] = [
        &["generate", model, "--backend", "cpu", "--tokens", "1,2", "--max-tokens", "1"],
        &["trace", model, "--backend", "cpu", "--tokens", "1,2"],
        &["explain", model, "--backend", "cpu"],
        &["run", program.to_str().unwrap(), "--backend", "cpu"],
    ];
    for args in commands {
        let run = tl(args);
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("does not use 2 of") && said.contains("`blk.0.attn_q_norm.weight`"), "{args:?}: {said}");
    }
    let shown = String::from_utf8(tl(&["inspect", model]).stdout).unwrap();
    assert_contains(&shown, &["architecture   llama", "cannot run     std/llama.tl does not use 2 of"]);
    let good = tl(&["inspect", crate::support::fixture("tiny-f32.gguf").to_str().unwrap()]);
    assert_contains(&String::from_utf8(good.stdout).unwrap(), &["program        std/llama.tl"]);
}

/// A copy of the llama program with statements before it.
fn program(scratch: &Scratch, statements: &str) -> std::path::PathBuf {
    let (_, text) = tensorlogic::lang::Architectures::find("llama").unwrap();
    let path = scratch.path("own.tl");
    std::fs::write(&path, format!("{statements}\n{text}")).unwrap();
    path
}

#[test]
fn a_program_names_what_it_does_not_need() {
    let scratch = Scratch::new("ignored");
    let path = Parts::of("tiny-f32")
        .vectors("blk.*.nextn.embed.weight", LAYERS, HEAD, 1.0)
        .vectors("blk.*.attn_q_norm.weight", LAYERS, HEAD, 1.0)
        .save(scratch.path("more.gguf"));
    let plain = logits(&crate::support::fixture("tiny-f32.gguf")).unwrap();
    let run = |statements: &str, model: &Path| {
        Mode::precise(false).with_arch(&program(&scratch, statements)).logits(model, &TOKENS, TOKENS.len())
    };
    assert_eq!(run("ignore(\"blk.*.nextn.\", \"blk.*.attn_q_norm.weight\")", &path).unwrap(), plain);
    assert_eq!(run("ignore(\"*\")", &path).unwrap(), plain);
    let error = run("ignore(\"blk.*.nextn.\")", &path).unwrap_err();
    assert_contains(&error, &["own.tl does not use 2 of", "`blk.0.attn_q_norm.weight`, `blk.1.attn_q_norm.weight`;"]);
    assert_contains(&run("ignore(3)", &path).unwrap_err(), &["a pattern is a string, not int"]);
}

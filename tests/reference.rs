//! The reference executor against logits that an independent program computed in f64 (`tests/fixtures/make_tiny.py`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use support::{Llama, difference, fixture, read_expected, run_logits};
use tensorlogic::graph::{Executor, KvType};
use tensorlogic::reference::ReferenceExecutor;

fn check(model: &str) {
    let llama = Llama::open(&fixture(&format!("{model}.gguf")));
    let expected = read_expected(&fixture(&format!("{model}.safetensors")));
    let ids = expected["tokens"].as_i32().unwrap();
    let spec = llama.cache(64, 32, 4, KvType::F32);
    let mut executor = ReferenceExecutor::new();
    let cache = executor.new_cache(&spec).unwrap();
    let logits = run_logits(&mut executor, &llama, cache, &spec, 0, ids);
    let (rms, max) = difference(&logits, expected["exact.logits"].as_f32().unwrap());
    assert!(rms < 1e-6 && max < 1e-5, "{model}: rms {rms:e}, max {max:e}");
}

#[test]
fn f32_model_is_exact() {
    check("tiny-f32");
}

#[test]
fn q4_0_model_is_exact() {
    check("tiny-q4_0");
}

#[test]
fn every_format_is_exact() {
    check("tiny-mixed");
}

/// A window of 24 with 4 sinks over 100 tokens: token by token, and in chunks of uneven size.
#[test]
fn the_ring_is_exact() {
    let llama = Llama::open(&fixture("tiny-f32.gguf"));
    let expected = read_expected(&fixture("tiny-f32-w24-s4.safetensors"));
    let (ids, positions) = (expected["tokens"].as_i32().unwrap(), expected["positions"].as_i32().unwrap());
    let spec = llama.cache(24, 16, 4, KvType::F32);
    for chunk in [1, 7, 16] {
        let mut executor = ReferenceExecutor::new();
        let cache = executor.new_cache(&spec).unwrap();
        let mut logits = Vec::new();
        for (i, ids) in ids.chunks(chunk).enumerate() {
            logits.extend(run_logits(&mut executor, &llama, cache, &spec, i * chunk, ids));
        }
        let vocab = logits.len() / ids.len();
        let kept: Vec<f32> = positions.iter().flat_map(|&p| logits[p as usize * vocab..][..vocab].to_vec()).collect();
        let (rms, max) = difference(&kept, expected["exact.logits"].as_f32().unwrap());
        assert!(rms < 1e-6 && max < 1e-5, "chunks of {chunk}: rms {rms:e}, max {max:e}");
    }
}

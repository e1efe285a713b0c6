//! Several completions at a time, and sequences that decode together.

use serde_json::Value;

use crate::process::{backends, tiny, tl};

fn completions(backend: &str, n: &str, seed: usize, prompt: &str) -> Vec<Value> {
    let model = tiny("f32");
    let seed = seed.to_string();
    let run = tl(&[
        "generate",
        &model,
        "--tokens",
        prompt,
        "--n",
        n,
        "--seed",
        &seed,
        "-n",
        "24",
        "--temperature",
        "1.2",
        "--kv",
        "f32",
        "--json",
        "--backend",
        backend,
    ]);
    let json: Value = serde_json::from_str(run.answer()).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    json["completions"].as_array().unwrap().clone()
}

#[test]
fn each_of_several_completions_is_the_one_that_its_seed_gives_alone() {
    for backend in backends() {
        // Completions share all tokens of the prompt but the last one. Those of a prompt of one token share none.
        for prompt in ["1,267,270,9,289,12", "17"] {
            let together = completions(backend, "4", 7, prompt);
            let ids = |completion: &Value| completion["ids"].clone();
            for (i, completion) in together.iter().enumerate() {
                assert_eq!(completion["ids"].as_array().unwrap().len(), 24, "{backend}");
                assert_eq!(ids(completion), ids(&completions(backend, "1", 7 + i, prompt)[0]), "{backend}, {prompt}, number {i}");
            }
            assert!(together.iter().skip(1).all(|other| ids(other) != ids(&together[0])), "{backend}: {together:?}");
        }
    }
}

#[test]
fn several_completions_are_numbered_as_text() {
    let run = tl(&["generate", &tiny("f32"), "--tokens", "1,5", "--n", "2", "-n", "3", "--backend", "cpu"]);
    assert!(run.answer().starts_with("--- 1 of 2\n") && run.answer().contains("\n\n--- 2 of 2\n"), "{run:?}");
    let none = tl(&["generate", &tiny("f32"), "--tokens", "1", "--n", "0"]);
    assert!(none.code == Some(2) && none.stderr.contains("at least 1 is needed"), "{none:?}");
}

#[test]
fn a_bench_measures_sequences_together() {
    let run = tl(&["bench", &tiny("f32"), "-p", "0", "-n", "0", "-r", "1", "--batch", "1,2", "--json", "--backend", "cpu"]);
    let report: Value = serde_json::from_str(run.answer()).unwrap();
    let sizes: Vec<u64> = report["batches"].as_array().unwrap().iter().map(|b| b["sequences"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [1, 2]);
    assert!(report["batches"][1]["tokens_per_second"]["median"].as_f64().unwrap() > 0.0, "{report}");
}

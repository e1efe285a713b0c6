//! Several completions at a time, and sequences that decode together.

use serde_json::Value;

use crate::process::{backends, tiny, tl};
use crate::scratch::Scratch;

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

#[test]
fn beams_are_the_likeliest_completions() {
    let model = tiny("f32");
    let generate = |more: &[&str]| tl(&[&["generate", &model, "--tokens", "1,267,270", "-n", "6", "--kv", "f32"][..], more].concat());
    let beams = |n: &str| -> Vec<Value> {
        let json: Value = serde_json::from_str(generate(&["--json", "--beams", n]).answer()).unwrap();
        assert_eq!(json["prompt_ids"], serde_json::json!([1, 267, 270]));
        json["beams"].as_array().unwrap().clone()
    };
    let greedy: Value = serde_json::from_str(generate(&["--json", "--temp", "0"]).answer()).unwrap();
    assert_eq!(beams("1")[0]["ids"], greedy["ids"], "one beam takes the likeliest token each time");
    let four = beams("4");
    let logprobs: Vec<f64> = four.iter().map(|beam| beam["logprob"].as_f64().unwrap()).collect();
    assert!(four.len() == 4 && logprobs.is_sorted_by(|a, b| a >= b) && logprobs[0] < 0.0, "{logprobs:?}");
    assert!(logprobs[0] >= beams("1")[0]["logprob"].as_f64().unwrap(), "{four:?}");
    let run = generate(&["--beams", "2"]);
    assert!(run.answer().starts_with("--- 1 of 2, logprob -") && run.answer().contains("\n\n--- 2 of 2, logprob -"), "{run:?}");
    for flags in [&["--n", "2"][..], &["--temp", "0.5"], &["--draft", "ngram"], &["--seed", "1"], &["--top-k", "3"]] {
        let run = generate(&[&["--beams", "2"], flags].concat());
        assert!(run.code == Some(2) && run.stderr.contains("--beams") && run.stdout.is_empty(), "{run:?}");
    }
    assert_eq!(generate(&["--beams", "0"]).code, Some(2));
}

#[test]
fn programs_draw_and_search_several_completions() {
    let scratch = Scratch::new("several");
    let path = scratch.path("p.tl");
    let path = path.to_str().unwrap();
    let run = |text: &str| {
        let model = tiny("f32").replace('\\', "\\\\");
        std::fs::write(path, format!("let model = load_model(\"{model}\")\n{text}")).unwrap();
        tl(&["run", path])
    };
    let alone =
        run("for i in 0..3 { print(generate(model, KVCache(model), [1, 267, 270], max_tokens: 8, temperature: 1.1, seed: 7 + i)) }");
    let together = run("for text in completions(model, [1, 267, 270], n: 3, max_tokens: 8, temperature: 1.1, seed: 7) { print(text) }");
    assert_eq!(together.answer(), alone.answer());
    let found = run("let found = beam_search(model, [1, 267, 270], beams: 3, max_tokens: 6)\n\
                     print(len(found), found[0][1] >= found[1][1], found[2][1] < 0.0)\n\
                     print(beam_search(model, [1, 267, 270], beams: 1, max_tokens: 6)[0][0] == generate(model, KVCache(model), [1, 267, 270], max_tokens: 6, temperature: 0.0))");
    assert_eq!(found.answer(), "3 true true\ntrue\n");
    for (call, said) in
        [("beam_search(model, [1], beams: 0)", "at least 1 is needed"), ("completions(model, [1], n: 0)", "at least 1 is needed")]
    {
        let refused = run(call);
        assert!(refused.code == Some(1) && refused.stderr.contains(said), "{call}: {refused:?}");
    }
}

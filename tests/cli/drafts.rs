//! `--draft`: the same text, and what is refused.

use serde_json::Value;

use crate::process::{backends, tiny, tl};
use crate::scratch::{Scratch, assert_contains};

fn completion(backend: &str, more: &[&str]) -> Value {
    let model = tiny("f32");
    let mut args = vec!["generate", &model, "--tokens", "1,267,270,9,289,12", "-n", "16", "--seed", "5", "--kv", "f32", "--json"];
    args.extend(["--backend", backend]);
    args.extend(more);
    serde_json::from_str(tl(&args).answer()).unwrap()
}

#[test]
fn a_drafted_completion_is_the_one_without_drafts() {
    let smaller = tiny("q4_0");
    for backend in backends() {
        for sampling in [&["--temp", "0"][..], &["--temp", "1.2", "--repeat-penalty", "1.1"]] {
            let alone = completion(backend, sampling);
            assert!(alone.get("drafted").is_none());
            for draft in [&["--draft", "ngram"][..], &["--draft", &smaller, "--draft-n", "2"]] {
                let drafted = completion(backend, &[sampling, draft].concat());
                assert_eq!((&drafted["ids"], &drafted["finish"]), (&alone["ids"], &alone["finish"]), "{backend}, {draft:?}");
                let count = |name: &str| drafted[name].as_u64().unwrap();
                assert!(count("accepted") <= count("drafted") && (draft[1] == "ngram" || count("drafted") > 0), "{drafted}");
            }
        }
    }
}

#[test]
fn stats_say_how_many_drafts_were_right() {
    let prompt = ["chat", "-p", "Hello", "--temp", "0", "-n", "6"];
    let alone = tl(&prompt);
    // The model drafts for itself.
    let smaller = format!("{}/examples/demo-model/demo.gguf", env!("CARGO_MANIFEST_DIR"));
    let run = tl(&[&prompt[..], &["--draft", &smaller, "--stats"]].concat());
    assert_eq!((run.code, &run.stdout), (Some(0), &alone.stdout), "{run:?}");
    assert_contains(&run.stderr, &["drafted tokens accepted", "in view"]);
    let model = tiny("f32");
    let run = tl(&["generate", &model, "--tokens", "1,5", "-n", "3", "--stats"]);
    assert_contains(&run.stderr, &["2 tokens read in", "3 given at"]);
}

#[test]
fn drafts_that_make_no_sense_are_refused() {
    let model = tiny("f32");
    let refused = |more: &[&str], parts: &[&str]| {
        let run = tl(&[&["generate", &model, "--tokens", "1"][..], more].concat());
        assert!(matches!(run.code, Some(1 | 2)) && run.stdout.is_empty(), "{run:?}");
        assert_contains(&run.stderr, parts);
    };
    refused(&["--draft", "ngram", "--n", "2"], &["--draft", "--n"]);
    refused(&["--draft-n", "2"], &["--draft"]);
    refused(&["--draft", "ngram", "--draft-n", "8"], &["1 to 7 is needed"]);
    refused(&["--draft", "nowhere.gguf"], &["there is no file or folder `nowhere.gguf`"]);
    let other = format!("{}/examples/demo-model/demo.gguf", env!("CARGO_MANIFEST_DIR"));
    refused(&["--draft", &other], &["draft with a model of the same vocabulary"]);
}

#[test]
fn programs_draft_with_the_text_or_with_a_model() {
    let scratch = Scratch::new("drafts");
    let path = scratch.path("p.tl");
    let path = path.to_str().unwrap();
    let program = |call: &str| {
        let (model, smaller) = (tiny("f32"), tiny("q4_0"));
        let models = format!("let model = load_model(\"{model}\")\nlet smaller = load_model(\"{smaller}\")\nlet cache = KVCache(model)\n");
        std::fs::write(path, models.replace('\\', "\\\\") + call).unwrap();
        tl(&["run", path])
    };
    let call =
        |draft: &str| format!("print(generate(model, KVCache(model), [1, 267, 270], max_tokens: 16, seed: 3, temperature: 1.0{draft}))");
    let alone = program(&call("")).answer().to_owned();
    for draft in [", draft: \"ngram\"", ", draft: smaller", ", draft: smaller, draft_n: 7"] {
        assert_eq!(program(&call(draft)).answer(), alone, "{draft}");
    }
    // One cache goes on with and without drafts.
    let parts = |draft: &str| {
        let part = format!("print(generate(model, cache, [5, 6], max_tokens: 8, seed: 3{draft}))\n");
        part.clone() + &part.replace(draft, "") + &part
    };
    assert_eq!(program(&parts(", draft: smaller")).answer(), program(&parts("")).answer());
    for (draft, said) in [
        (", draft: \"ngrams\"", "nothing is known that drafts as `ngrams`"),
        (", draft: 3", "`draft` is \"ngram\" or a Model, not int"),
        (", draft: \"ngram\", draft_n: 8", "give 1 to 7"),
        (", draft: load_model()", "draft with a model of the same vocabulary"),
    ] {
        let run = program(&call(draft));
        assert_eq!(run.code, Some(1), "{run:?}");
        assert_contains(&run.stderr, &[said]);
    }
}

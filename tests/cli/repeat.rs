//! The same from process to process, and whatever the process did before.

use serde_json::Value;

use crate::process::{backends, tiny, tl};
use crate::scratch::Scratch;

const SETTINGS: [&[&str]; 2] = [&["--temperature", "0"], &["--temperature", "1.0", "--seed", "11", "--repeat-penalty", "1.1"]];

#[test]
fn three_processes_give_the_same_ids() {
    for backend in backends() {
        for name in ["f32", "q4_0", "mixed"] {
            let model = tiny(name);
            for settings in SETTINGS {
                let ids = || {
                    let flags = ["--backend", backend, "--tokens", "1,267,270,9", "--max-tokens", "200", "--ctx", "64", "--json"];
                    let run = tl(&[&["generate", &model], &flags[..], settings].concat());
                    serde_json::from_str::<Value>(run.answer()).unwrap()["ids"].clone()
                };
                let first = ids();
                assert!(first.as_array().unwrap().len() > 20, "{first}");
                for _ in 0..2 {
                    assert_eq!(ids(), first, "{name} {settings:?} on {backend}");
                }
            }
        }
    }
}

/// Prints every logit of a prompt with all its digits, in some processes after another prompt and another model.
#[test]
fn three_processes_give_the_same_logits() {
    let scratch = Scratch::new("logits");
    let program = "
        let model = load_model(args()[0])
        if len(args()) > 1 {
            let other = load_model(args()[1])
            let earlier = other.forward(tensor([5, 6, 7]), KVCache(other))
            let prompt = model.forward(tensor([270, 3, 2, 1]), KVCache(model))
            assert(shape(prompt)[0] == shape(earlier)[0] + 1)
        }
        print(to_list(model.forward(tensor([1, 267, 270, 9, 289]), KVCache(model))))
    ";
    let path = scratch.path("logits.tl");
    std::fs::write(&path, program).unwrap();
    let path = path.to_str().unwrap();
    for backend in backends() {
        for name in ["f32", "q4_0", "mixed"] {
            let logits = |others: &[&str]| {
                let run = tl(&[&["run", "--backend", backend, path, &tiny(name)], others].concat());
                let n_numbers = run.answer().split(',').count();
                assert_eq!(n_numbers, 5 * 307, "{run:?}");
                run.stdout
            };
            let first = logits(&[]);
            assert_eq!(logits(&[]), first, "{name} on {backend}");
            for other in ["f32", "q4_0"] {
                assert_eq!(logits(&[&tiny(other)]), first, "{name} after {other} on {backend}");
            }
        }
    }
}

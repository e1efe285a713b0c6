//! What the engine keeps and frees, and what it refuses.

use std::sync::Arc;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineHost, LoadRequest, LoadedModel};
use tensorlogic::graph::Sampling;
use tensorlogic::lang::{Interp, Options};
use tensorlogic::text::TokenId;

use crate::scratch::Scratch;
use crate::support::{device_requests, fixture};

fn cpu() -> Arc<Backend> {
    Arc::new(Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap())
}

fn interp(backend: &Arc<Backend>) -> Interp {
    let host = Box::new(EngineHost::new(backend.clone(), LoadRequest::default()));
    Interp::new(Options { executor: Some(backend.executor.clone()), host: Some(host), ..Options::default() }).unwrap()
}

/// The message of the error that a program ends in, where `MODEL` is a small model; nothing where it does not.
fn message(backend: &Arc<Backend>, program: &str) -> Option<String> {
    let program = program.replace("MODEL", &format!("load_model({:?})", fixture("tiny-f32.gguf").display().to_string()));
    let result = interp(backend).run_source("found.tl", &program, None);
    result.err().map(|errors| errors[0].message.clone())
}

#[test]
fn a_callback_that_touches_its_cache_is_told_and_another_cache_works() {
    let program = |body: &str| {
        format!(
            "let m = MODEL\nlet c = KVCache(m)\nlet d = KVCache(m)\n\
             generate(m, c, [1, 5], max_tokens: 3, temperature: 0.0, on_token: fn(t) {{ {body} }})\nassert(c.position > 2)"
        )
    };
    let backend = cpu();
    for body in ["c.position", "c.clear()", "m.forward([4], c)", "generate(m, c, [4], max_tokens: 1)"] {
        let said = message(&backend, &program(body)).unwrap();
        assert!(said.contains("in use by the `generate`") && said.contains("KVCache(model)"), "{body}: {said}");
    }
    for body in ["m.forward([4], d)", "d.clear()", "generate(m, d, [4], max_tokens: 2)", "m.forward([4], KVCache(m))"] {
        assert_eq!(message(&backend, &program(body)), None, "{body}");
    }
}

#[test]
fn a_cache_of_a_model_that_is_gone_is_refused_by_the_next() {
    let backend = cpu();
    // The next model may well lie at the address of the last.
    let program = "fn made() { KVCache(MODEL) }\nfor i in 0..4 { let c = made()\nlet m = MODEL\nm.forward([1], c) }";
    let said = message(&backend, program).unwrap();
    assert!(said.contains("the cache is of another model"), "{said}");
}

#[test]
fn ids_outside_of_the_vocabulary_are_refused() {
    let backend = cpu();
    for call in [
        "m.forward([1, 2, 3, 70000], c)",
        "m.forward([-1], c)",
        "generate(m, c, [1, 70000])",
        "generate(m, c, [-2])",
        "detokenize(m, [70000])",
        "detokenize(m, -1)",
        "embedding([70000], m.token_embd.weight)",
        "embedding([-1], m.token_embd.weight)",
    ] {
        let said = message(&backend, &format!("let m = MODEL\nlet c = KVCache(m)\n{call}")).unwrap();
        assert!(said.contains("outside"), "{call}: {said}");
    }
}

/// Loads a model, computes a token with it and drops it; the bytes on the device after that.
fn load_once(path: &std::path::Path, backend: &Backend) -> u64 {
    let model = LoadedModel::open(path, backend, &LoadRequest::default()).unwrap();
    let mut generator = model.generator(0).unwrap();
    let go_on = |_| std::ops::ControlFlow::Continue(());
    generator
        .generate(&[TokenId(1), TokenId(5)], Sampling::default(), 2, |_| false, go_on, |_| std::ops::ControlFlow::Continue(()))
        .unwrap();
    drop((generator, model));
    backend.executor.lock().counters().device_bytes
}

#[test]
fn a_model_that_is_dropped_leaves_nothing_on_the_device() {
    let scratch = Scratch::new("dropped");
    let path = scratch.path("dropped-model.gguf");
    std::fs::copy(fixture("tiny-f32.gguf"), &path).unwrap();
    for device in device_requests(false) {
        let backend = Backend::open(&device).unwrap();
        let first = load_once(&path, &backend);
        for _ in 0..4 {
            assert_eq!(load_once(&path, &backend), first, "{}", backend.note);
        }
        if cfg!(target_os = "linux") {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            assert!(!maps.contains("dropped-model.gguf"), "{}: the file is still mapped", backend.note);
        }
    }
}

#[test]
fn a_weight_outlives_its_model_and_is_not_kept_for_ever() {
    let scratch = Scratch::new("outlives");
    let path = scratch.path("outlives-model.gguf");
    std::fs::copy(fixture("tiny-f32.gguf"), &path).unwrap();
    let load = format!("load_model({:?})", path.display().to_string());
    for device in device_requests(false) {
        let backend = Arc::new(Backend::open(&device).unwrap());
        let mut interp = interp(&backend);
        let program = format!(
            "fn norm() {{ {load}.output_norm.weight }}\nfor i in 0..3 {{ let w = norm()\nassert_close(sum(w * 2.0), sum(w) * 2.0, 1e-3) }}\n{load}.name"
        );
        interp.run_source("weights.tl", &program, None).map_err(|e| e[0].message.clone()).unwrap();
        drop(interp);
        if cfg!(target_os = "linux") {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            assert!(!maps.contains("outlives-model.gguf"), "{}: the file is still mapped", backend.note);
        }
    }
}

#[test]
fn programs_of_ever_other_shapes_do_not_grow_without_bound() {
    for device in device_requests(false) {
        let backend = Arc::new(Backend::open(&device).unwrap());
        let mut interp = interp(&backend);
        let mut most = |from: usize, to: usize| {
            let mut most = 0;
            for n in (from..to).step_by(10) {
                let program = format!("for n in {n}..{} {{ assert(sum(ones([n])) == float(n)) }}", n + 10);
                interp.run_source("shapes.tl", &program, None).map_err(|e| e[0].message.clone()).unwrap();
                most = most.max(backend.executor.lock().counters().device_bytes);
            }
            most
        };
        // What is kept is full by then.
        let (middle, end) = (most(1, 500), most(500, 900));
        // The tensors themselves grow by some kB.
        assert!(end <= middle + middle / 8 + (64 << 10), "{}: {middle} bytes at most, later {end}", backend.note);
    }
}

#[test]
fn texts_and_lists_that_double_end_in_an_error() {
    let backend = cpu();
    for (program, says) in [
        ("let s = \"ab\"\nwhile true { s = s + s }", "bytes is longer"),
        ("let s = \"b\" * 20000\ns.replace(\"b\", s)", "bytes is longer"),
        ("let s = \"b\" * 200000000\n\"{}{}\".format(s, s)", "bytes is longer"),
        ("let s = \"ab\"\nwhile true { s = [s, s].join(s) }", "bytes is longer"),
        ("let s = \"b\" * 268435456\nstr([s])", "bytes is longer"),
        ("let s = [\"a\"] * 9000000\ns + s", "items"),
        ("let xs = []\nfor i in 0..60 { xs = [xs, xs] }\nstr(xs)", "bytes is longer"),
    ] {
        let said = message(&backend, program).unwrap();
        assert!(said.contains(says), "{program}: {said}");
    }
}

#[test]
fn two_tensors_of_one_name_are_not_written() {
    let backend = cpu();
    let scratch = Scratch::new("twice");
    let path = scratch.path("out.safetensors");
    for (tensors, says) in [
        ("[(\"x\", [1.0]), (\"x\", [2.0])]", "`x` names two tensors"),
        ("[(\"a\", [1.0]), (\"b\", [1.0]), (\"a\", [2.0])]", "`a` names two tensors"),
        ("[(\"__metadata__\", [1.0])]", "`__metadata__` is what the format calls its own table"),
    ] {
        let said = message(&backend, &format!("save({:?}, {tensors})", path.display().to_string())).unwrap();
        assert!(said.contains(says), "{tensors}: {said}");
        assert!(!path.exists());
    }
}

#[test]
fn draws_take_what_the_commands_take() {
    let backend = cpu();
    for (call, says) in [
        ("sample([1.0, 2.0], top_p: 3.0)", "`top_p` is 3, but must be above 0 and at most 1"),
        ("sample([1.0, 2.0], min_p: 7.0)", "`min_p` is 7"),
        ("sample([1.0, 2.0], top_k: -3)", "`top_k` is -3"),
        ("sample([1.0, 2.0], temperature: -1.0)", "`temperature` is -1"),
        ("top_p_sample([1.0, 2.0], 0.0)", "`top_p` is 0"),
    ] {
        let said = message(&backend, call).unwrap_or_default();
        assert!(said.contains(says), "{call}: {said}");
    }
}

/// NaN is below no bound: a filter that would hide it would make the draw a guess.
#[test]
fn filters_of_logits_keep_nan() {
    let backend = cpu();
    let nan = "let nan = sqrt([-1.0])[0]\nlet x = [1.0, nan, 3.0]\n";
    for call in ["temperature_sample(top_k(x, 2))", "sample(min_p(x, 0.1))", "sample(top_k(min_p(x, 0.5), 1))"] {
        let said = message(&backend, &format!("{nan}{call}")).unwrap_or_default();
        assert!(said.contains("NaN"), "{call}: {said}");
    }
    assert_eq!(message(&backend, "assert(all(top_k([1.0, 5.0, 3.0], 2) == [-1e30, 5.0, 3.0]))"), None);
}

/// Rows that are sorted in pieces on all threads: equal values keep their order where pieces meet.
#[test]
fn long_rows_are_sorted_and_stable() {
    let program = "let n = 1300001\nlet x = floor(rand([n]) * 50.0)\nlet (sorted, order) = sort(x)\n\
        let (a, b) = (sorted[0..n - 1], sorted[1..n])\nassert(all(a <= b))\nassert(all(gather(x, order) == sorted))\n\
        assert(all((a < b) or (order[0..n - 1] < order[1..n])))";
    assert_eq!(message(&cpu(), program), None);
}

//! Programs of models that depend on the position, on the token count, or hold tensors of their own.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tensorlogic::engine::{Backend, DeviceRequest, LoadRequest, LoadedModel, ModelSteps, TracePoint};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::{Counters, KvType, Sampling};
use tensorlogic::lang::Architectures;
use tensorlogic::model::Generator;
use tensorlogic::tensor::HostTensor;
use tensorlogic::text::TokenId;
use tensorlogic::trace::Select;

use crate::scratch::Scratch;
use crate::support::{device_requests, difference, fixture};

const MODEL: &str = "tiny-f32.gguf";
const PROMPT: [u32; 3] = [1, 267, 270];

/// Llama's program with other statements in the place of its last one, and declarations before it.
fn llama(top: &str, end: &str) -> String {
    let text = Architectures::find("llama").unwrap().1;
    let (head, tail) = text.split_once("    logits\n}").unwrap();
    format!("{top}\n{head}    {end}\n}}{tail}")
}

struct Folder(Scratch);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(Scratch::new(&format!("traces-{name}")))
    }

    fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path(&format!("{name}.tl"));
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn try_open(backend: &Backend, program: Option<&Path>) -> Result<LoadedModel, String> {
    let request =
        LoadRequest { arch: program.map(Path::to_owned), window: Some(64), sinks: Some(4), kv_type: KvType::F32, ..LoadRequest::default() };
    LoadedModel::from_file(ModelFile::open(&fixture(MODEL), false).unwrap(), backend, &request).map_err(|e| e.to_string())
}

fn open(backend: &Backend, program: Option<&Path>) -> LoadedModel {
    try_open(backend, program).unwrap()
}

/// Every backend of this machine that generates, and the definition.
fn backends() -> Vec<Backend> {
    let requests = device_requests(true);
    requests.iter().map(|request: &DeviceRequest| Backend::open(request).unwrap()).chain([Backend::exact()]).collect()
}

fn ids(tokens: &[u32]) -> Vec<TokenId> {
    tokens.iter().map(|&id| TokenId(id)).collect()
}

/// The logits of each token of a run of all of them, as a trace shows them: with fusion off.
fn traced_logits(model: &LoadedModel, tokens: &[u32]) -> Vec<f32> {
    let trace = model.trace_values(&TracePoint::of_prompt(ids(tokens)), Select::Labelled, None).unwrap();
    trace.step("logits").unwrap().values.as_f32().unwrap().to_vec()
}

fn generate(generator: &mut Generator<ModelSteps>, prompt: &[u32], n: usize) -> Vec<u32> {
    let mut given = Vec::new();
    let on_token = |id: TokenId| {
        given.push(id.0);
        ControlFlow::Continue(())
    };
    let go_on = |_| ControlFlow::Continue(());
    generator.generate(&ids(prompt), Sampling::default(), n, |_| false, go_on, on_token).unwrap();
    given
}

fn generated(model: &LoadedModel, prompt: &[u32], n: usize) -> Vec<u32> {
    generate(&mut model.generator(0).unwrap(), prompt, n)
}

/// The counters of what is made, without those of what is done.
fn made(counters: Counters) -> Counters {
    Counters { dispatches: 0, submits: 0, steps: 0, command_buffers: 0, ..counters }
}

/// Adds to the logits what `change` makes of one row of `n` of them.
fn changed(plain: &[f32], n: usize, change: impl Fn(usize, f32) -> f32) -> Vec<f32> {
    plain.iter().enumerate().map(|(i, &x)| change(i % n, x)).collect()
}

/// A tensor of a program's own, however it is made: where it stands, what it adds to the logits, and what that is.
const OWN_TENSORS: &[(&str, &str, &str, fn(usize) -> f32)] = &[
    ("literal", "", "concat([[0.5, -0.25, 3.0, 1.0], zeros([V - 4])])", |i| [0.5, -0.25, 3.0, 1.0].get(i).copied().unwrap_or(0.0)),
    ("ints", "", "cast(arange(V), float32) * 0.01", |i| i as f32 * 0.01),
    ("top", "let bias = arange(4096) * 0.01 + 0.0", "bias[0:V]", |i| i as f32 * 0.01),
    ("top-literal", "let bias = [2.0, -1.0]", "concat([bias, zeros([V - 2])])", |i| [2.0, -1.0].get(i).copied().unwrap_or(0.0)),
    ("list", "let parts = [[1.0, 2.0] * 2.0, [3.0] * 1.0]", "concat([parts[0], parts[1], zeros([V - 3])])", |i| {
        [2.0, 4.0, 3.0].get(i).copied().unwrap_or(0.0)
    }),
    ("inside", "", "cumsum(where(arange(V) > 2, 0.0, 1.0))", |i| (i + 1).min(3) as f32),
    ("mask", "let mask = causal_mask(2)", "where(mask[0, 1], 100.0, 0.25)", |_| 0.25),
    ("element", "let table = [0.5, 1.5] * 2.0", "if table[1] > 2.0 { table[0] } else { 100.0 }", |_| 1.0),
    ("infinite", "let bound = [1.0, 0.0] / 0.0", "where([true, false], [1.5, bound[0]], 9.0)[0]", |_| 1.5),
    ("made", "fn ramp(n: int) { arange(n) * 0.5 }\nlet r = ramp(8)", "r[3]", |_| 1.5),
    ("mutated", "let t = zeros([2])\nt[1] = 4.0", "t[1]", |_| 4.0),
];

#[test]
fn a_program_holds_tensors_of_its_own() {
    let folder = Folder::new("own");
    for backend in backends() {
        let plain = open(&backend, None);
        let (n, expected) = (plain.config.vocab_len, traced_logits(&plain, &PROMPT));
        for (name, top, value, adds) in OWN_TENSORS {
            let value = value.replace('V', &n.to_string());
            let text = llama(top, &format!("let own = {value}\n    let logits = plain + own\n    logits"));
            let text = text.replacen("let logits = linear", "let plain = linear", 1);
            let model = try_open(&backend, Some(&folder.program(name, &text)));
            let model = model.unwrap_or_else(|error| panic!("{name} on {}: {error}", backend.note));
            let expected = changed(&expected, n, |i, x| x + adds(i));
            let (rms, _) = difference(&traced_logits(&model, &PROMPT), &expected);
            assert!(rms < 1e-5, "{name} on {}: rms {rms:e}", backend.note);
        }
    }
}

/// A file beside the program, a seeded draw, and a table that is looked up: fused and unfused, and in a run of one token as of several.
#[test]
fn constants_of_files_and_draws_are_the_same_in_every_run() {
    let folder = Folder::new("files");
    let path = folder.0.path("bias.safetensors");
    let values: Vec<f32> = (0..300).map(|i| i as f32 * 0.125).collect();
    let tensors = [("bias".to_owned(), HostTensor::f32([300], values))];
    tensorlogic::format::save_safetensors(&path, &tensors, std::collections::HashMap::new()).unwrap();
    for backend in backends() {
        let plain = open(&backend, None);
        let n = plain.config.vocab_len;
        let load = format!("load({:?}, \"bias\")[0:8]", path.display().to_string());
        let pad = format!("zeros([{}])", n - 8);
        // A large step towards one token decides every draw: the text shows whether the constant was there.
        for (name, top, value, wins) in [
            ("top-load", format!("let bias = concat([{load}, {pad}])"), "bias * 100.0".to_owned(), 7),
            ("load", String::new(), format!("concat([{load}, {pad}]) * 100.0"), 7),
            ("table", format!("let table = [0.0, 0.0, 0.0, 900.0]\nlet bias = concat([table, zeros([{}])])", n - 4), "bias".to_owned(), 3),
            ("draw", format!("let bias = where(arange({n}) == 5, 800.0 + rand([{n}], seed: 3), 0.0)"), "bias".to_owned(), 5),
            ("seeded", String::new(), format!("where(arange({n}) == 5, 800.0 + randn([{n}], seed: 3), 0.0)"), 5),
        ] {
            let model = open(&backend, Some(&folder.program(name, &llama(&top, &format!("logits + {value}")))));
            assert_eq!(generated(&model, &PROMPT, 4), [wins; 4], "{name} on {}", backend.note);
        }
    }
}

#[test]
fn a_warm_step_uploads_no_constant_again() {
    let folder = Folder::new("warm");
    let top = "let scale = (arange(512) + 1) * 0.001";
    let text = llama(top, "logits * (1.0 + scale[0:1]) + [0.25] + arange(1)");
    let program = folder.program("warm", &text);
    for request in device_requests(false) {
        let backend = Backend::open(&request).unwrap();
        let model = open(&backend, Some(&program));
        let mut generator = model.generator(0).unwrap();
        for _ in 0..2 {
            generate(&mut generator, &PROMPT, 4);
            generate(&mut generator, &[5], 4);
        }
        let (warm, traces) = (made(generator.counters()), generator.programs_mut().n_traces());
        for _ in 0..3 {
            generate(&mut generator, &PROMPT, 6);
            generate(&mut generator, &[5], 6);
            assert_eq!((made(generator.counters()), generator.programs_mut().n_traces()), (warm, traces), "{}", backend.note);
        }
    }
}

/// Equal graphs with unequal constants run on one executor, each with its own.
#[test]
fn programs_that_differ_in_constants_alone_are_not_taken_for_each_other() {
    let folder = Folder::new("apart");
    for backend in backends() {
        let n = open(&backend, None).config.vocab_len;
        let with = |id: usize| {
            let text = llama("", &format!("logits + cast(arange({n}) == [{id}], float32) * 1000.0"));
            open(&backend, Some(&folder.program(&format!("to-{id}"), &text)))
        };
        let models = [with(9), with(11), with(9)];
        for _ in 0..2 {
            for (model, id) in models.iter().zip([9, 11, 9]) {
                assert_eq!(generated(model, &PROMPT, 2), [id, id], "{}", backend.note);
            }
        }
    }
}

/// What a branch chooses at a position is what `where` chooses there, in the text and in what a trace shows.
#[test]
fn a_branch_on_the_position_is_taken_anew_at_each_position() {
    let folder = Folder::new("branch");
    let by_where = "logits * where(cache.position >= 6, -1.0, 1.0)";
    let by_if = "let sign = if cache.position >= 6 { -1.0 } else { 1.0 }\n    logits * sign";
    for backend in backends() {
        let [a, b] = [by_where, by_if].map(|end| open(&backend, Some(&folder.program("sign", &llama("", end)))));
        let (expected, found) = (generated(&a, &PROMPT, 12), generated(&b, &PROMPT, 12));
        assert_eq!(found, expected, "{}", backend.note);
        assert_ne!(found, generated(&open(&backend, None), &PROMPT, 12), "the sign matters");
        // Going back: the steps of later positions must not stay.
        assert_eq!(generated(&b, &PROMPT, 12), expected, "{}", backend.note);
        for n in [2, 5, 8] {
            let point = b.decode_point(ids(&PROMPT), n).unwrap();
            assert_eq!(point.ids.iter().skip(3).map(|id| id.0).collect::<Vec<_>>(), expected[..n]);
            let values = |model: &LoadedModel| {
                let trace = model.trace_values(&point, Select::EveryOp, None).unwrap();
                trace.steps.last().unwrap().values.as_f32().unwrap().to_vec()
            };
            let (rms, _) = difference(&values(&a), &values(&b));
            assert!(rms < 1e-5, "token {n} on {}: rms {rms:e}", backend.note);
        }
    }
}

/// A constant whose shape follows the position is made anew at each.
#[test]
fn a_shape_made_of_the_position_is_of_the_step_that_runs() {
    let folder = Folder::new("shape");
    let by_shape = "let seen = ones([int(cache.position) + 1])\n    logits + where(arange(shape(logits)[1]) == 4, sum(seen), 0.0) * 3.0";
    let by_scalar = "logits + where(arange(shape(logits)[1]) == 4, float(cache.position) + 1.0, 0.0) * 3.0";
    for backend in backends() {
        let texts = [by_shape, by_scalar].map(|end| {
            let model = open(&backend, Some(&folder.program("seen", &llama("", end))));
            generated(&model, &PROMPT, 10)
        });
        assert_eq!(texts[0], texts[1], "{}", backend.note);
    }
}

/// What would happen once a trace and not once a run is refused, with what to write.
#[test]
fn what_a_trace_would_freeze_is_refused() {
    let folder = Folder::new("frozen");
    let backend = Backend::open(&device_requests(true)[0]).unwrap();
    for (name, top, end, says) in [
        ("counter", "let n = 0", "n += 1\n    logits * n", "`n` cannot change here"),
        ("element", "let seen = zeros([4])", "seen[0] = 1.0\n    logits * seen[0]", "`seen` cannot change here"),
        ("push", "let xs = [\"a\"]", "xs.push(\"b\")\n    logits", "`xs` cannot change here"),
        (
            "method",
            "struct Box { v: int\n fn next(mut self) -> int { self.v = self.v + 1\n self.v } }\nlet b = Box { v: 0 }",
            "logits * b.next()",
            "`b` cannot change here",
        ),
        (
            "closure",
            "fn counter() { let n = 0\n let next = fn() { n = n + 1\n n }\n next }\nlet next = counter()",
            "logits * next()",
            "`n` cannot change here",
        ),
        ("time", "", "logits * time()", "`time` cannot be called here"),
        ("input", "", "input()\n    logits", "`input` cannot be called here"),
        ("rand", "", "logits + rand([1])", "would draw the same numbers"),
        ("dropout", "", "logits + randn(1)", "would draw the same numbers"),
        ("write", "", "write_text(\"x\", \"y\")\n    logits", "`write_text` cannot be called here"),
        ("value", "", "if logits[0, 0] > 0.0 { logits } else { -logits }", "cannot depend on the values of a tensor"),
    ] {
        let program = folder.program(name, &llama(top, end));
        let error = try_open(&backend, Some(&program)).and_then(|m| m.generator(0).map(|_| ()).map_err(|e| e.to_string()));
        let error = error.expect_err(name);
        assert!(error.contains(says), "{name}: {error}");
    }
    // What is the program's own may change.
    let own = "let n = 1\n    let add = fn() { n = n + 1 }\n    add()\n    for i in 0..3 { n += i }\n    logits * float(n)";
    assert_eq!(generated(&open(&backend, Some(&folder.program("own", &llama("", own)))), &PROMPT, 2).len(), 2);
}

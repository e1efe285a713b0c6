//! Programs of models that depend on the position, on the token count, or hold tensors of their own.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensorlogic::engine::{Backend, DeviceRequest, EngineHost, LoadRequest, LoadedModel, ModelSteps, TracePoint};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::{Counters, KvType, Sampling};
use tensorlogic::lang::{Architectures, Host};
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
            let text = text.replacen("let logits = output_logits", "let plain = output_logits", 1);
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

/// `m.forward(tokens, cache)` of a program of the language.
#[test]
fn forward_of_the_language_holds_constants_and_makes_them_once() {
    let folder = Folder::new("forward");
    let text = llama("let shift = arange(4) * 0.5", "logits + T * shift[3] + [0.25]");
    let program = folder.program("shift", &text);
    for request in device_requests(true) {
        let backend = Arc::new(Backend::open(&request).unwrap());
        let load = |arch: Option<PathBuf>| {
            let request = LoadRequest { arch, kv_type: KvType::F32, ..LoadRequest::default() };
            EngineHost::new(backend.clone(), request).load_model(&fixture(MODEL).display().to_string()).unwrap()
        };
        let (plain, shifted) = (load(None), load(Some(program.clone())));
        let (a, b) = (plain.new_cache(None).unwrap(), shifted.new_cache(None).unwrap());
        let mut warm = None;
        for (round, tokens) in [&[1, 267, 270][..], &[9], &[4, 7], &[8, 2, 3], &[5], &[6, 6]].into_iter().enumerate() {
            let read = |logits| backend.executor.lock().read(&logits).unwrap();
            let (x, y) = (read(plain.forward(tokens, &*a).unwrap()), read(shifted.forward(tokens, &*b).unwrap()));
            let expected: Vec<f32> = x.as_f32().unwrap().iter().map(|x| x + tokens.len() as f32 * 1.5 + 0.25).collect();
            assert!(difference(y.as_f32().unwrap(), &expected).0 < 1e-5, "round {round} on {}", backend.note);
            let programs = backend.executor.lock().counters().programs;
            if round >= 3 {
                assert_eq!(*warm.get_or_insert(programs), programs);
            }
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

/// Llama's program with its embedding multiplied.
fn llama_scaled(by: &str) -> String {
    let text = Architectures::find("llama").unwrap().1;
    assert!(text.contains("let x = embedding\n"));
    text.replace("let x = embedding\n", &format!("let factor = {by}\n    let x = embedding * factor\n"))
}

/// Ways to ask for the number of tokens, each 3 for a prompt of three.
const COUNTS: &[(&str, &str)] = &[
    ("name", "T"),
    ("float", "float(T)"),
    ("shape", "shape(tokens)[0]"),
    ("field", "embedding.shape[0]"),
    ("len", "len(tokens)"),
    ("numel", "numel(tokens)"),
    ("elements", "numel(embedding) / shape(embedding)[1]"),
    ("flat", "shape(flatten(embedding))[0] / shape(embedding)[1]"),
    ("ones", "sum(ones([T]))"),
    ("zeros", "sum(zeros([T, 2]) + 0.5)"),
    ("ramp", "max(arange(T)) + 1"),
    ("running", "cumsum(ones([T]))[-1]"),
    ("drawn", "sum(where(rand([T, 1], seed: 2) >= 0.0, 1.0, 0.0))"),
    ("list", "[T, 7][0]"),
    ("literal", "sum([T, 0] * 1.0)"),
    ("compare", "if T == 3 { 3.0 } else { 9.0 }"),
    ("between", "if T > 2 and T < 4 { 3.0 } else { 9.0 }"),
    ("match", "match T { 3 => 3.0\n 4 => 4.0\n _ => 9.0 }"),
    ("range", "match T { 0..4 => 3.0\n _ => 9.0 }"),
    ("text", "float(\"{}\".format(T))"),
    ("repeat", "float(len(\"x\" * T))"),
    ("type", "if type(T) == \"int\" { 3.0 } else { 9.0 }"),
    ("largest", "float(max(T, 1))"),
    ("argument", "twice(T) / 2"),
    ("index", "[9.0, 9.0, 9.0, 3.0, 4.0][T]"),
    ("loop", "ticks(tokens)"),
    ("rows", "rows(embedding)"),
    ("slice", "3.0 + 0.0 * sum(embedding[0:T - 1, 0])"),
    ("both", "ticks(tokens) + 0 * T"),
];

const HELPERS: &str = "
fn twice(n: int) { n * 2 }
fn ticks(tokens: int32[N]) -> float { let n = 0.0\n for i in 0..N { n += 1.0 }\n n }
fn rows(x: float[N, C]) -> float { let n = 0.0\n for row in x { n += 1.0 }\n n }
";

#[test]
fn the_number_of_tokens_is_a_number_in_every_spelling() {
    let folder = Folder::new("count");
    for backend in backends() {
        let fixed = open(&backend, Some(&folder.program("fixed", &llama_scaled("3.0"))));
        let (text, logits) = (generated(&fixed, &PROMPT, 1), traced_logits(&fixed, &PROMPT));
        for (name, by) in COUNTS {
            let program = folder.program(name, &format!("{HELPERS}{}", llama_scaled(by)));
            let model = open(&backend, Some(&program));
            assert_eq!(generated(&model, &PROMPT, 1), text, "{name} on {}", backend.note);
            let why = model.exact_rows().unwrap_or_else(|| panic!("{name} takes a bucket"));
            assert!(why.contains(&format!("{name}.tl:")), "{name}: {why}");
            let (rms, _) = difference(&traced_logits(&model, &PROMPT), &logits);
            assert!(rms < 1e-5, "{name} on {}: rms {rms:e}", backend.note);
        }
    }
}

/// Shapes with one row a token, of which a bucket serves several counts of tokens.
const ROWS: &[(&str, &str)] = &[
    ("plain", "embedding"),
    ("reshape", "reshape(reshape(embedding, [T, 4, shape(embedding)[1] / 4]), shape(embedding))"),
    ("free", "reshape(embedding, [len(tokens), -1])"),
    ("sizes", "ident(embedding)"),
    ("zeros", "embedding + zeros([T, shape(embedding)[1]])"),
    ("sum", "sum_of(embedding)"),
    ("ones", "embedding * ones(T, 1)"),
    ("full", "embedding * full([T, 1], 1.0)"),
    ("wide", "embedding + broadcast_to([0.0], [T, shape(embedding)[1]])"),
    ("positions", "embedding + 0.0 * [[1.0], [2.0], [3.0]][arange(T) + cache.position]"),
    ("row", "embedding + reshape(arange(T) * 0.0, [T, 1])"),
    ("noise", "embedding + 0.0 * rand([T, 3], seed: 1)[:, 0:1]"),
];

#[test]
fn shapes_with_a_row_a_token_leave_the_bucket_alone() {
    let folder = Folder::new("rows");
    let helpers = "
fn ident(x: float[N, C]) { let sizes = [N, C]\n reshape(x, sizes) }
fn sum_of(x: float[N, C]) { let y = zeros([N, C])\n for i in 0..2 { y = y + x * 0.5 }\n y }
";
    for backend in backends() {
        let plain = open(&backend, None);
        let (text, logits) = (generated(&plain, &PROMPT, 3), traced_logits(&plain, &PROMPT));
        for (name, rows) in ROWS {
            let text_of = Architectures::find("llama").unwrap().1;
            let program = text_of.replace("let x = embedding\n", &format!("let x = {rows}\n"));
            let model = open(&backend, Some(&folder.program(name, &format!("{helpers}{program}"))));
            assert_eq!(generated(&model, &PROMPT, 3), text, "{name} on {}", backend.note);
            let (rms, _) = difference(&traced_logits(&model, &PROMPT), &logits);
            assert!(rms < 1e-5, "{name} on {}: rms {rms:e}", backend.note);
            assert_eq!(model.exact_rows(), None, "{name} on {}", backend.note);
        }
    }
}

/// What mixes tokens is computed of the true ones alone, by a backend and by the definition.
#[test]
fn tokens_that_mix_are_the_true_ones() {
    let folder = Folder::new("mix");
    let windows = [
        ("mean", "embedding - mean(embedding, 0, keep: true) * 0.5"),
        ("max", "embedding + max(embedding, 0, keep: true)"),
        ("flip", "embedding + embedding[::-1]"),
        ("last", "embedding + embedding[-1]"),
        ("mask", "embedding + where(causal_mask(T), 1.0, 0.0) @ embedding"),
    ];
    for (name, rows) in windows {
        let text = Architectures::find("llama").unwrap().1.replace("let x = embedding\n", &format!("let x = {rows}\n"));
        let program = folder.program(name, &text);
        let mut found: Vec<(Vec<f32>, Vec<u32>)> = Vec::new();
        for backend in backends() {
            let model = open(&backend, Some(&program));
            // A run of four tokens, which fills its bucket, must not leave its step to one of three.
            assert_eq!(generated(&model, &[1, 2, 3, 4], 1).len(), 1);
            let text = generated(&model, &PROMPT, 3);
            assert!(model.exact_rows().is_some(), "{name} on {}", backend.note);
            found.push((traced_logits(&model, &PROMPT), text));
        }
        for (logits, text) in &found[1..] {
            let (rms, _) = difference(logits, &found[0].0);
            assert!(rms < 1e-4 && *text == found[0].1, "{name}: rms {rms:e}");
        }
    }
}

/// Where a prompt is cut follows the clock, so what tokens share must not depend on it.
#[test]
fn a_prompt_whose_tokens_mix_is_one_run() {
    let folder = Folder::new("whole");
    let text = Architectures::find("llama").unwrap().1;
    let mean = text.replace("let x = embedding\n", "let x = embedding - mean(embedding, 0, keep: true) * 0.5\n");
    let branch = llama("", "if cache.position >= 6 { -logits } else { logits }");
    let prompt: Vec<u32> = (0..40).map(|i| i * 5 % 200 + 1).collect();
    for program in [folder.program("mean", &mean), folder.program("branch", &branch)] {
        let texts: Vec<Vec<u32>> = backends().iter().map(|backend| generated(&open(backend, Some(&program)), &prompt, 4)).collect();
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        let model = open(&Backend::open(&device_requests(true)[0]).unwrap(), Some(&program));
        let go_on = |_| ControlFlow::Continue(());
        let long = ids(&[5; 600]);
        let run = model.generator(0).unwrap().generate(&long, Sampling::default(), 1, |_| false, go_on, |_| ControlFlow::Continue(()));
        let error = run.expect_err("it would be cut").to_string();
        assert!(error.contains("600 tokens") && error.contains("512") && error.contains("give a shorter prompt"), "{error}");
    }
    // Others may be cut.
    let model = open(&Backend::open(&device_requests(true)[0]).unwrap(), None);
    assert_eq!(generated(&model, &[5; 600], 1).len(), 1);
}

/// A width that equals the bucket by chance is not the number of tokens.
#[test]
fn a_size_that_equals_the_bucket_by_chance_is_told_apart() {
    let folder = Folder::new("chance");
    let turned = "embedding + 0.5 * transpose(reshape(embedding, [shape(embedding)[1], T]))";
    let program = Architectures::find("llama").unwrap().1.replace("let x = embedding\n", &format!("let x = {turned}\n"));
    let program = folder.program("turned", &program);
    let [cpu, .., exact] = &backends()[..] else { panic!("two backends") };
    let models = [cpu, exact].map(|backend| open(backend, Some(&program)));
    let width = models[0].file().metadata().u64("llama.embedding_length").unwrap() as u32;
    assert!(width.is_power_of_two());
    let prompt: Vec<u32> = (0..width / 2 + 3).map(|i| i % 200 + 1).collect();
    let [found, expected] = models.map(|model| traced_logits(&model, &prompt));
    let (rms, _) = difference(&found, &expected);
    assert!(rms < 1e-4, "rms {rms:e}");
}

/// Layers that look back less far than others, against the same by a mask over one run.
#[test]
fn windows_by_layer_and_masks_see_the_same_tokens() {
    let folder = Folder::new("windows");
    let text = Architectures::find("llama").unwrap().1;
    let call = "attention(q_rope, cache.append(i, k_rope, v), window: window)";
    assert!(text.contains(call));
    let by_window = text.replace(call, "attention(q_rope, cache.append(i, k_rope, v), window: if i % 2 == 0 { 3 } else { 0 })");
    let by_mask = text.replace(call, "masked(q_rope, k_rope, v, cache.append(i, k_rope, v), i)")
        + "
fn masked(q: float[T, H, D], k: float[T, G, D], v: float[T, G, D], kept, i: int) {
    let back = reshape(arange(T), [T, 1]) - reshape(arange(T), [1, T])
    let near = if i % 2 == 0 { back < 3 } else { back < 100000 }
    attention(q, k, v, where(back >= 0, near, false))
}
";
    let prompt = [1u32, 267, 270, 9, 289, 12, 5, 80, 33];
    for backend in backends() {
        let models = [("windows", by_window.as_str()), ("masks", by_mask.as_str()), ("plain", text)];
        let [windows, masks, plain] = models.map(|(name, text)| traced_logits(&open(&backend, Some(&folder.program(name, text))), &prompt));
        let (rms, _) = difference(&windows, &masks);
        assert!(rms < 1e-4, "{}: rms {rms:e}", backend.note);
        assert!(difference(&windows, &plain).0 > 1e-3, "the window matters");
        let first = |name: &str| generated(&open(&backend, Some(&folder.0.path(&format!("{name}.tl")))), &prompt, 1);
        assert_eq!(first("windows"), first("masks"), "{}", backend.note);
    }
}

#[test]
fn a_variable_that_nothing_reads_is_in_the_trace() {
    let folder = Folder::new("unread");
    let end =
        "let unread = mean(logits, -1)\n    let table = [1.0, 2.0]\n    let rows = arange(T)\n    let mixed = mean(logits, 0)\n    logits";
    let mut mixed: Option<Vec<f32>> = None;
    for backend in backends() {
        let model = open(&backend, Some(&folder.program("unread", &llama("", end))));
        let trace = model.trace_values(&TracePoint::of_prompt(ids(&PROMPT)), Select::Labelled, None).unwrap();
        let shape = |name: &str| trace.step(name).unwrap_or_else(|| panic!("no {name}")).shape().to_vec();
        assert_eq!((shape("unread"), shape("table"), shape("rows")), (vec![3], vec![2], vec![3]), "{}", backend.note);
        assert_eq!(trace.step("table").unwrap().values.as_f32().unwrap(), [1.0, 2.0]);
        assert_eq!(model.exact_rows(), None, "what nothing reads leaves the run alone");
        let values = trace.step("mixed").unwrap().values.as_f32().unwrap().to_vec();
        assert!(difference(&values, mixed.get_or_insert(values.clone())).0 < 1e-4, "a mean of the true tokens on {}", backend.note);
    }
}

//! Every rewrite rule and every variant of a kernel, switched off alone, in pairs and all together: logits stay within their bounds, and the
//! tokens are the exact ones wherever the bound leaves no doubt. `TL_REFERENCE` adds models of the reference pack; pairs of rules meet them under
//! `TL_EVERY=1` only, which takes long.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use support::bounds::{ARITHMETICS, Arithmetic, granted, of_llama_cpp};
use support::matrices::emulated;
use support::{Llama, Sizes, all_logits, difference, fixture, gpu_is_there, random_llama, read_expected};
use tensorlogic::cpu::{CpuExecutor, CpuOptions, Isa};
use tensorlogic::engine::{Backend, LoadRequest, LoadedModel};
use tensorlogic::gpu::{Faults, GpuExecutor, GpuOptions, KernelFault, Profile, Variant};
use tensorlogic::graph::{KvType, Sampling};
use tensorlogic::lang::SharedExecutor;
use tensorlogic::plan::{Choice, Off, Rule, Target};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::tensor::quant::Q4_0;
use tensorlogic::tensor::{DType, Quant};
use tensorlogic::text::TokenId;

/// Of the exact top two logits: nearer ones may change places within the bound.
const DECIDED: f64 = 6.0;

/// Tokens in view, and the most in one run.
const WINDOW: usize = 320;

/// Tokens that are fed one by one, after the others at once.
const SINGLE: usize = 20;

/// A model with what is exact of it.
struct Subject {
    name: String,
    is_of_pack: bool,
    llama: Llama,
    is_f32: bool,
    tokens: Vec<i32>,
    exact: Vec<f32>,
    /// The rms that logits may err by, by `ARITHMETICS`.
    bounds: [f64; 3],
    greedy: Option<Greedy>,
}

/// What an f32 model says after a prompt.
struct Greedy {
    path: PathBuf,
    prompt: Vec<TokenId>,
    exact: Vec<TokenId>,
}

fn subjects() -> Vec<Subject> {
    let mut subjects: Vec<Subject> = ["tiny-f32", "tiny-q4_0", "tiny-mixed"].into_iter().map(Subject::tiny).collect();
    // Rows long enough for eight-bit activations on every backend; and more tokens than one part of a long cache has slots.
    let wide = Sizes { n_heads: 8, n_kv_heads: 2, head_dim: 64, n_layers: 1, ffn: 512, vocab: 96 };
    subjects.push(Subject::random("wide-q4_0", &wide, DType::Quant(Quant(&Q4_0)), 40));
    let long = Sizes { n_heads: 4, n_kv_heads: 2, head_dim: 16, n_layers: 1, ffn: 64, vocab: 96 };
    subjects.push(Subject::random("long-f16", &long, DType::F16, 300));
    match std::env::var_os("TL_REFERENCE") {
        Some(pack) => {
            let names = ["stories260K-f32", "synthetic-f32", "synthetic-q4_0", "synthetic-q8_0", "synthetic-q6_k"];
            subjects.extend(names.map(|name| Subject::of_pack(Path::new(&pack), name)));
        }
        None => eprintln!("skipped: five models, as TL_REFERENCE is not set"),
    }
    subjects
}

impl Subject {
    fn tiny(name: &str) -> Subject {
        let path = fixture(&format!("{name}.gguf"));
        let expected = read_expected(&fixture(&format!("{name}.safetensors")));
        let (tokens, exact) = (expected["tokens"].as_i32().unwrap().to_vec(), expected["exact.logits"].as_f32().unwrap().to_vec());
        let ids = |ids: &[i32]| ids.iter().map(|&id| TokenId(id as u32)).collect();
        let is_f32 = name.ends_with("f32");
        let greedy = is_f32.then(|| Greedy { path: path.clone(), prompt: ids(&tokens), exact: ids(expected["greedy"].as_i32().unwrap()) });
        Subject {
            name: name.to_owned(),
            is_of_pack: false,
            llama: Llama::open(&path),
            is_f32,
            bounds: granted(&exact),
            tokens,
            exact,
            greedy,
        }
    }

    /// Made up here, and exact by the definition.
    fn random(name: &str, sizes: &Sizes, dtype: DType, n_tokens: i32) -> Subject {
        let llama = random_llama(sizes, dtype, 7);
        let tokens: Vec<i32> = (0..n_tokens).map(|i| (i * i * 7 + i * 13 + 5) % sizes.vocab as i32).collect();
        let exact = all_logits(&mut ReferenceExecutor::new(), &llama, &llama.cache(WINDOW, WINDOW, 4, KvType::F32), &tokens, tokens.len());
        Subject { name: name.to_owned(), is_of_pack: false, llama, is_f32: false, bounds: granted(&exact), tokens, exact, greedy: None }
    }

    fn of_pack(pack: &Path, name: &str) -> Subject {
        let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(pack.join("expected/summary.json")).unwrap()).unwrap();
        let path = pack.join(format!("models/{name}.gguf"));
        let expected = read_expected(&pack.join(format!("expected/{name}.safetensors")));
        let greedy = &summary["models"][name]["greedy"];
        let ids = |key: &str| greedy[key].as_array().unwrap().iter().map(|id| TokenId(id.as_u64().unwrap() as u32)).collect();
        let is_f32 = name.ends_with("f32");
        let greedy = (is_f32 && greedy.is_object()).then(|| Greedy { path: path.clone(), prompt: ids("prompt"), exact: ids("exact") });
        Subject {
            name: name.to_owned(),
            is_of_pack: true,
            llama: Llama::open(&path),
            is_f32,
            tokens: expected["tokens"].as_i32().unwrap().to_vec(),
            exact: expected["exact.logits"].as_f32().unwrap().to_vec(),
            bounds: of_llama_cpp(&summary, name),
            greedy,
        }
    }

    /// For each position the exact token, and whether the logits of this arithmetic must give it.
    fn decided(&self, arithmetic: usize) -> Vec<(usize, bool)> {
        let least = DECIDED * self.bounds[arithmetic];
        let row = |row: &[f32]| {
            let best = argmax(row);
            let second = row.iter().enumerate().filter(|(i, _)| *i != best).map(|(_, &v)| v).fold(f32::MIN, f32::max);
            (best, self.is_f32 || f64::from(row[best] - second) > least)
        };
        self.exact.chunks(self.exact.len() / self.tokens.len()).map(row).collect()
    }
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// What is off, and which executor that makes.
struct Combination {
    name: String,
    /// Not checked with the models of the pack, unless `TL_EVERY` is set.
    is_pair: bool,
    open: Box<dyn Fn(bool) -> (SharedExecutor, Target)>,
}

fn on_cpu(name: impl Into<String>, rules: Off<Rule>, isa: Option<Isa>) -> Combination {
    let open = move |precise| {
        let executor = CpuExecutor::new(CpuOptions { precise, rules, isa, ..CpuOptions::default() });
        let target = executor.target();
        (SharedExecutor::new(executor), target)
    };
    Combination { name: format!("cpu {}", name.into()), is_pair: false, open: Box::new(open) }
}

/// An open GPU, shared by its combinations: kernels take long to compile, and most are the same.
type SharedGpu = SharedExecutor<GpuExecutor>;

fn open_gpu(options: GpuOptions) -> SharedGpu {
    SharedExecutor::of(GpuExecutor::new(&GpuOptions { allow_software: true, ..options }).unwrap())
}

fn on_gpu(gpu: &SharedGpu, name: &str, rules: Off<Rule>, kernels: Off<Variant>) -> Combination {
    let (gpu, switches) = (gpu.clone(), [rules.to_string(), kernels.to_string()].join(" "));
    let open = move |precise| {
        gpu.lock().restrict(precise, rules, kernels);
        let target = gpu.lock().target();
        (gpu.of_any_kind(), target)
    };
    Combination { name: format!("gpu {name}{switches}"), is_pair: false, open: Box::new(open) }
}

/// Nothing, each alone, all.
fn alone<T: Choice>() -> Vec<Off<T>> {
    let mut sets = vec![Off::NONE];
    sets.extend(T::ALL.iter().map(|&choice| Off::of(&[choice])));
    sets.push(Off::all());
    sets
}

fn pairs<T: Choice>() -> impl Iterator<Item = Off<T>> {
    (0..T::ALL.len()).flat_map(|a| (0..a).map(move |b| Off::of(&[T::ALL[a], T::ALL[b]])))
}

fn cpu_combinations() -> Vec<Combination> {
    let rules = alone().into_iter().map(|off| on_cpu(off.to_string(), off, None));
    let pairs = pairs().map(|off| Combination { is_pair: true, ..on_cpu(off.to_string(), off, None) });
    let levels = Isa::available()
        .into_iter()
        .flat_map(|isa| [Off::NONE, Off::all()].map(|off| on_cpu(format!("{} {off}", isa.name()), off, Some(isa))));
    rules.chain(pairs).chain(levels).collect()
}

/// Rules without which a linear's work goes to other kernels: with the models of the pack, these are paired with variants too.
const APART: [Rule; 5] = [Rule::AddToLinear, Rule::MergeLinears, Rule::NormInLinear, Rule::GateInLinear, Rule::RotateAndStoreInLinear];

fn gpu_combinations() -> Vec<Combination> {
    let gpu = open_gpu(GpuOptions::from_env());
    let mut all: Vec<Combination> = Vec::new();
    all.extend(alone().into_iter().map(|rules| on_gpu(&gpu, "", rules, Off::NONE)));
    all.extend(alone().into_iter().skip(1).map(|kernels| on_gpu(&gpu, "", Off::NONE, kernels)));
    let rules_apart: &[Rule] = if std::env::var_os("TL_REFERENCE").is_some() { &APART } else { &[] };
    for &rule in rules_apart {
        all.extend([Variant::Int8, Variant::Matvec].map(|kernel| on_gpu(&gpu, "", Off::of(&[rule]), Off::of(&[kernel]))));
    }
    all.push(on_gpu(&gpu, "", Off::all(), Off::all()));
    for (name, options) in [
        ("without subgroups ", GpuOptions { no_subgroups: true, ..GpuOptions::from_env() }),
        // The shapes of real GPUs, also on a software adapter.
        ("as dx12 ", GpuOptions { profile: Some(Profile::Dx12), ..GpuOptions::from_env() }),
        ("as metal ", GpuOptions { profile: Some(Profile::Metal), faults: emulated(8, &[]), ..GpuOptions::from_env() }),
    ] {
        let gpu = open_gpu(options);
        all.push(on_gpu(&gpu, name, Off::NONE, Off::NONE));
        all.push(on_gpu(&gpu, name, Off::all(), Off::all()));
    }
    all
}

/// What a combination was found to do.
#[derive(Default)]
struct Found {
    /// The largest rms error over its bound, and where.
    worst: (f64, String),
    /// Tokens that had to be the exact ones.
    tokens: usize,
    failures: Vec<String>,
}

fn check(combination: &Combination, subjects: &[Subject]) -> Found {
    let mut found = Found::default();
    let every = std::env::var_os("TL_EVERY").is_some();
    let subjects: Vec<&Subject> = subjects.iter().filter(|s| every || !combination.is_pair || !s.is_of_pack).collect();
    for precise in [true, false] {
        let (executor, target) = (combination.open)(precise);
        for (i, arithmetic) in ARITHMETICS.iter().enumerate().filter(|(_, a)| a.precise == precise) {
            for subject in &subjects {
                check_logits(&executor, subject, i, arithmetic, &mut found);
            }
        }
        let kv_type = if precise { KvType::F32 } else { KvType::F16 };
        for greedy in subjects.iter().filter_map(|s| s.greedy.as_ref()) {
            check_greedy(&executor, target, precise, kv_type, greedy, &mut found);
        }
    }
    found
}

fn check_logits(executor: &SharedExecutor, subject: &Subject, i: usize, arithmetic: &Arithmetic, found: &mut Found) {
    let spec = subject.llama.cache(WINDOW, WINDOW, 4, arithmetic.kv_type);
    let n = subject.tokens.len();
    for chunk in [n, 1] {
        let start = if chunk == 1 { n.saturating_sub(SINGLE) } else { 0 };
        let mut executor = executor.lock();
        let cache = executor.new_cache(&spec).unwrap();
        let mut logits = Vec::new();
        if start > 0 {
            logits.extend(support::run_logits(&mut *executor, &subject.llama, cache, &spec, 0, &subject.tokens[..start]));
        }
        for (at, ids) in subject.tokens[start..].chunks(chunk).enumerate() {
            logits.extend(support::run_logits(&mut *executor, &subject.llama, cache, &spec, start + at * chunk, ids));
        }
        executor.free_cache(cache);
        let (rms, _) = difference(&logits, &subject.exact);
        let (bound, what) = (subject.bounds[i], format!("{}, {}, chunks of {chunk}", subject.name, arithmetic.name));
        if rms / bound > found.worst.0 {
            found.worst = (rms / bound, what.clone());
        }
        if rms > bound {
            found.failures.push(format!("{what}: rms {rms:.3e} over {bound:.3e}"));
        }
        for (at, (row, (token, decided))) in logits.chunks(logits.len() / n).zip(subject.decided(i)).enumerate() {
            found.tokens += usize::from(decided);
            if decided && argmax(row) != token {
                found.failures.push(format!("{what}: token {} instead of {token} at {at}", argmax(row)));
            }
        }
    }
}

/// Through the model's own program and the generate loop, which sample on the device.
fn check_greedy(executor: &SharedExecutor, target: Target, precise: bool, kv_type: KvType, greedy: &Greedy, found: &mut Found) {
    let backend = Backend { executor: executor.clone(), target, precise, ..Backend::exact() };
    let model = LoadedModel::open(&greedy.path, &backend, &LoadRequest { kv_type, ..LoadRequest::default() }).unwrap();
    let (mut given, go_on) = (Vec::new(), |_| ControlFlow::Continue(()));
    let on_token = |id| {
        given.push(id);
        ControlFlow::Continue(())
    };
    let n = greedy.exact.len();
    model.generator(0).unwrap().generate(&greedy.prompt, Sampling::default(), n, |_| false, go_on, on_token).unwrap();
    found.tokens += n;
    if given != greedy.exact {
        found.failures.push(format!("{}, precise {precise}: {given:?} instead of {:?}", greedy.path.display(), greedy.exact));
    }
}

fn check_all(combinations: &[Combination]) {
    let subjects = subjects();
    for subject in subjects.iter().filter(|s| !s.is_f32) {
        for (i, arithmetic) in ARITHMETICS.iter().enumerate() {
            let decided = subject.decided(i);
            let share = decided.iter().filter(|d| d.1).count() as f64 / decided.len() as f64;
            println!(
                "{:<15} {:<16} tokens decided at {:>5.1} % of {} positions",
                subject.name,
                arithmetic.name,
                share * 100.0,
                decided.len()
            );
        }
    }
    let mut failures = Vec::new();
    for combination in combinations {
        let found = check(combination, &subjects);
        println!(
            "{:<70} {:>5} tokens, error at most {:.2} of its bound ({})",
            combination.name, found.tokens, found.worst.0, found.worst.1
        );
        failures.extend(found.failures.into_iter().map(|f| format!("{}: {f}", combination.name)));
    }
    println!("{} combinations", combinations.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_rule_and_instruction_level_of_the_cpu_on_and_off() {
    check_all(&cpu_combinations());
}

#[test]
fn every_rule_and_kernel_variant_of_the_gpu_on_and_off() {
    if gpu_is_there() {
        check_all(&gpu_combinations());
    }
}

/// The check itself: it finds a kernel that is wrong, and finds nothing once that kernel is switched off.
#[test]
fn a_mistake_in_one_variant_is_found_and_goes_with_it() {
    if !gpu_is_there() {
        return;
    }
    let lighter = |op| KernelFault { op, from: "sum += weight * values[i]", to: "sum += 0.8 * weight * values[i]" };
    let swapped = |op| KernelFault {
        op,
        from: "activation(step.act, sums[at]) * sums[at + half]",
        to: "activation(step.act, sums[at + half]) * sums[at]",
    };
    for (variant, subject, faults) in [
        (Variant::GatedEpilogue, "tiny-q4_0", ["matvec", "matvec_i8", "matvec_pairs"].map(swapped).to_vec()),
        (
            Variant::Int8,
            "wide-q4_0",
            ["matvec_i8", "matvec_pairs"]
                .map(|op| KernelFault { op, from: "lanes_sum(four, local)", to: "lanes_sum(four, local) * 1.2" })
                .to_vec(),
        ),
        (Variant::SplitAttention, "long-f16", vec![lighter("attention"), lighter("attention_merge")]),
    ] {
        let subjects: Vec<Subject> = subjects().into_iter().filter(|s| s.name == subject).collect();
        let faults = Faults { kernels: faults, ..Faults::default() };
        let gpu = open_gpu(GpuOptions { faults, ..GpuOptions::from_env() });
        let failures = |kernels| check(&on_gpu(&gpu, "", Off::NONE, kernels), &subjects).failures;
        assert!(!failures(Off::NONE).is_empty(), "{variant:?}: a wrong kernel is not found");
        assert_eq!(failures(Off::of(&[variant])), Vec::<String>::new(), "{variant:?} is off");
    }
}

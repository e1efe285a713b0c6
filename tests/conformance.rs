//! Logits of whole models against exact ones, with llama.cpp's own errors as the bounds. The models, their exact logits and llama.cpp's
//! errors are in a reference pack that is not part of this repository: `TL_REFERENCE` names its folder.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::ops::ControlFlow;
use std::path::PathBuf;

use support::bounds::{ARITHMETICS, Arithmetic, of_llama_cpp};
use support::{Llama, all_logits, backends, device_requests, difference, read_expected};
use tensorlogic::engine::{Backend, LoadRequest, LoadedModel};
use tensorlogic::graph::{Executor, KvType, Sampling};
use tensorlogic::text::TokenId;

fn pack() -> Option<PathBuf> {
    let folder = std::env::var_os("TL_REFERENCE").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TL_REFERENCE is not set");
    }
    folder
}

const MODELS: &[&str] = &[
    "stories260K-f32",
    "stories260K-f16",
    "stories260K-q8_0",
    "stories260K-q4_0",
    "synthetic-f32",
    "synthetic-f16",
    "synthetic-bf16",
    "synthetic-q8_0",
    "synthetic-q6_k",
    "synthetic-q5_k",
    "synthetic-q5_1",
    "synthetic-q5_0",
    "synthetic-q4_k",
    "synthetic-q4_1",
    "synthetic-q4_0",
    "synthetic-iq4_nl",
    "synthetic-q3_k",
    "synthetic-q2_k",
];

/// Each backend, precise or not, opened once: NVIDIA's driver gives a process about 16 devices, one after another or not.
fn executors(precise: &[bool]) -> Vec<(&'static str, bool, Box<dyn Executor>)> {
    let opened = |precise: bool| backends().into_iter().map(move |b| (b.name, precise, (b.open)(precise)));
    precise.iter().flat_map(|&p| opened(p)).collect()
}

#[test]
fn logits_are_within_the_bounds_that_llama_cpp_sets() {
    let Some(pack) = pack() else { return };
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(pack.join("expected/summary.json")).unwrap()).unwrap();
    let mut failures = Vec::new();
    let mut executors = executors(&[true, false]);
    for name in MODELS {
        let llama = Llama::open(&pack.join(format!("models/{name}.gguf")));
        let expected = read_expected(&pack.join(format!("expected/{name}.safetensors")));
        let (ids, exact) = (expected["tokens"].as_i32().unwrap(), expected["exact.logits"].as_f32().unwrap());
        for (Arithmetic { name: mode, precise, kv_type }, bound) in ARITHMETICS.into_iter().zip(of_llama_cpp(&summary, name)) {
            let spec = llama.cache(128, 64, 4, kv_type);
            for (backend, _, executor) in executors.iter_mut().filter(|(_, p, _)| *p == precise) {
                for chunk in [64, 1] {
                    let (rms, max) = difference(&all_logits(&mut **executor, &llama, &spec, ids, chunk), exact);
                    eprintln!("{name:<18} {backend:<8} {mode:<16} chunks of {chunk:<2} rms {rms:.3e} (bound {bound:.3e}) max {max:.3e}");
                    if rms > bound {
                        failures.push(format!("{name} on {backend}, {mode}, chunks of {chunk}: rms {rms:.3e} over {bound:.3e}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Through the models' own program and the generate loop. Of the default mode only what its bound cannot show is asked: the f32 model.
#[test]
fn greedy_ids_are_the_exact_ones() {
    let Some(pack) = pack() else { return };
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(pack.join("expected/summary.json")).unwrap()).unwrap();
    for (name, precise, kv_type) in [
        ("stories260K-f32", true, KvType::F32),
        ("stories260K-f32", false, KvType::F16),
        ("stories260K-f16", true, KvType::F32),
        ("stories260K-q8_0", true, KvType::F32),
        ("stories260K-q4_0", true, KvType::F32),
    ] {
        let greedy = &summary["models"][name]["greedy"];
        let numbers =
            |key: &str| -> Vec<TokenId> { greedy[key].as_array().unwrap().iter().map(|id| TokenId(id.as_u64().unwrap() as u32)).collect() };
        let (prompt, exact) = (numbers("prompt"), numbers("exact"));
        assert_eq!(exact.len(), 48);
        for request in device_requests(precise) {
            let load = LoadRequest { kv_type, ..LoadRequest::default() };
            let model = LoadedModel::open(&pack.join(format!("models/{name}.gguf")), &Backend::open(&request).unwrap(), &load).unwrap();
            let (mut given, go_on) = (Vec::new(), |_| ControlFlow::Continue(()));
            let on_token = |id| {
                given.push(id);
                ControlFlow::Continue(())
            };
            model.generator(0).unwrap().generate(&prompt, Sampling::default(), 48, |_| false, go_on, on_token).unwrap();
            assert_eq!(given, exact, "{name} on {:?}, precise {precise}", request.backend);
        }
    }
}

#[test]
fn windows_are_exact() {
    let Some(pack) = pack() else { return };
    let mut failures = Vec::new();
    let mut executors = executors(&[true]);
    for model in ["stories260K-f32", "synthetic-f32"] {
        let llama = Llama::open(&pack.join(format!("models/{model}.gguf")));
        for (window, sinks) in [(64, 4), (64, 0), (96, 8)] {
            let expected = read_expected(&pack.join(format!("window/{model}-w{window}-s{sinks}.safetensors")));
            let (ids, exact) = (expected["tokens"].as_i32().unwrap(), expected["exact.logits"].as_f32().unwrap());
            let spec = llama.cache(window, 16, sinks, KvType::F32);
            for (backend, _, executor) in &mut executors {
                for chunk in [1, 16] {
                    let all = all_logits(&mut **executor, &llama, &spec, ids, chunk);
                    let vocab = all.len() / ids.len();
                    let positions = expected["positions"].as_i32().unwrap();
                    let kept: Vec<f32> = positions.iter().flat_map(|&p| all[p as usize * vocab..][..vocab].to_vec()).collect();
                    let (rms, max) = difference(&kept, exact);
                    eprintln!("{model} W {window} s {sinks} {backend:<8} chunks of {chunk:<2} rms {rms:.3e} max {max:.3e}");
                    // The f32 pass of the pack's own program errs by 3.3e-6.
                    if rms > 1e-5 {
                        failures.push(format!("{model} W {window} s {sinks} on {backend}, chunks of {chunk}: rms {rms:.3e}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

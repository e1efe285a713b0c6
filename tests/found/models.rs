//! Architectures held to exact logits: small random models of many families with the logits that float64 gives. A few are in
//! `tests/fixtures/families`; `TL_REFERENCE` names a folder of more that are no part of this repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::{Dtype, SafeTensors};
use tensorlogic::format::ModelFile;
use tensorlogic::lang::Architectures;

use crate::scratch::Scratch;
use crate::support::parts::Parts;
use crate::support::programs::Mode;
use crate::support::{fixture, gpu_is_there};

/// The largest difference of a logit over the largest logit. Rounding to f32 makes 3e-6 on most families; the smallest mistake that was
/// seen, another epsilon, makes 1e-5.
const BOUND: f64 = 5e-6;

/// What float64 gives for one model. Logits are `[T, V]`, row by row.
struct Exact {
    tokens: Vec<i32>,
    logits: Vec<f64>,
    /// The ids that follow, or none where the file cannot tell what they depend on.
    greedy: Vec<i32>,
}

impl Exact {
    fn read(path: &Path) -> Exact {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let floats = |name: &str| -> Option<Vec<f64>> {
            let view = file.tensor(name).ok()?;
            let data = view.data();
            Some(match view.dtype() {
                Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
                Dtype::F32 => data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
                other => panic!("{name} is {other:?}"),
            })
        };
        let ids = |name: &str| -> Vec<i32> {
            let view = file.tensor(name).unwrap();
            view.data().chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let tokens = ids("tokens");
        match floats("logits_full") {
            // A GGUF file does not say that these models have a window, so its logits are those without one and its greedy ids unknown.
            Some(logits) => Exact { tokens, logits, greedy: Vec::new() },
            None => Exact { tokens, logits: floats("logits").unwrap(), greedy: ids("greedy") },
        }
    }
}

/// The largest difference over the largest exact value.
fn relative(found: &[f32], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    let largest = exact.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    // A NaN must not be lost in a maximum.
    let difference = found.iter().zip(exact).map(|(a, b)| (f64::from(*a) - b).abs());
    difference.fold(0.0f64, |m, d| if d.is_nan() || d > m { d } else { m }) / largest
}

/// The context that the models run with: that of some files is shorter than the prompt.
const CONTEXT: usize = 64;

/// The folders of models that are there.
fn folders() -> Vec<PathBuf> {
    let pack = std::env::var_os("TL_REFERENCE").map(|pack| Path::new(&pack).join("architectures/models"));
    if pack.is_none() {
        eprintln!("skipped: the models of TL_REFERENCE, which is not set");
    }
    [fixture("families")].into_iter().chain(pack).collect()
}

/// The GGUF files `FAMILY-a.gguf` by family.
fn families(folder: &Path) -> BTreeMap<String, PathBuf> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let family = |path: PathBuf| Some((path.file_name()?.to_str()?.strip_suffix("-a.gguf")?.to_owned(), path));
    files.flatten().filter_map(|entry| family(entry.path())).collect()
}

/// The Hugging Face folders `FAMILY-a.hf.zip` by family, unpacked.
fn unpacked(folder: &Path, scratch: &Scratch) -> BTreeMap<String, PathBuf> {
    let mut by_family = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let Some(family) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix("-a.hf.zip")) else { continue };
        let into = scratch.path(family);
        let unzip = Command::new("python3").args(["-m", "zipfile", "-e"]).args([&path, &into]).output();
        match unzip {
            Ok(run) if run.status.success() => {}
            other => {
                eprintln!("skipped: {family}: python3 cannot unpack it: {other:?}");
                continue;
            }
        }
        // Some hold the files, some the folder with them.
        let within = into.join(format!("{family}-a"));
        by_family.insert(family.to_owned(), if within.is_dir() { within } else { into });
    }
    by_family
}

/// f32 throughout, on each backend of this machine.
fn modes() -> Vec<Mode> {
    let backends: &[bool] = if gpu_is_there() { &[false, true] } else { &[false] };
    backends.iter().map(|&gpu| Mode::precise(gpu).with_window(CONTEXT)).collect()
}

/// What is wrong with the model's logits or greedy ids, if anything is.
fn check(family: &str, model: &Path, exact: &Exact, mode: &Mode) -> Option<String> {
    let backend = if mode.gpu { "gpu" } else { "cpu" };
    let logits = match mode.logits(model, &exact.tokens, exact.tokens.len()) {
        Ok(logits) => logits,
        Err(error) => return Some(format!("{family:<18} {backend} {error}")),
    };
    let error = relative(&logits, &exact.logits);
    let greedy = mode.greedy(model, &exact.tokens, exact.greedy.len());
    let (what, is_same) = match &greedy {
        Ok(_) if exact.greedy.is_empty() => ("not known".to_owned(), true),
        Ok(ids) if *ids == exact.greedy => ("equal".to_owned(), true),
        Ok(ids) => (format!("{ids:?} for {:?}", exact.greedy), false),
        Err(error) => (error.clone(), false),
    };
    let line = format!("{family:<18} {backend} logits {error:.1e} of the largest, greedy ids {what}");
    println!("{line}");
    (error.is_nan() || error > BOUND || !is_same).then_some(line)
}

#[test]
fn every_family_with_a_program_gives_the_exact_logits() {
    let (mut without, mut failures) = (Vec::new(), Vec::new());
    let modes = modes();
    for (family, path) in folders().iter().flat_map(|folder| families(folder)) {
        let file = ModelFile::open(&path, false).unwrap();
        let architecture = file.metadata().str("general.architecture").unwrap();
        if Architectures::find(architecture).is_err() {
            without.push(family);
            continue;
        }
        let exact = Exact::read(&path.with_extension("safetensors"));
        failures.extend(modes.iter().filter_map(|mode| check(&family, &path, &exact, mode)));
    }
    println!("{} families skipped, their architecture has no program: {}", without.len(), without.join(", "));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Where a folder and a GGUF file of one family differ, as in a window that the file does not have, `logits` are the folder's.
#[test]
fn folders_of_hugging_face_give_the_exact_logits() {
    let scratch = Scratch::new("folders-of-families");
    let (mut without, mut failures) = (Vec::new(), Vec::new());
    let modes = modes();
    let by_family =
        folders().into_iter().flat_map(|folder| unpacked(&folder, &scratch).into_iter().map(move |(f, path)| (f, path, folder.clone())));
    for (family, path, folder) in by_family {
        let file = ModelFile::open(&path, false).unwrap();
        if Architectures::find(file.metadata().str("general.architecture").unwrap()).is_err() {
            without.push(family);
            continue;
        }
        let exact = Exact::read(&folder.join(format!("{family}-a.safetensors")));
        failures.extend(modes.iter().filter_map(|mode| check(&family, &path, &exact, mode)));
    }
    println!("{} folders skipped, their architecture has no program: {}", without.len(), without.join(", "));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// `stories260K-f32` with biases of 0.5 on queries, keys and values: float64 and llama.cpp give these ids.
#[test]
fn a_llama_with_biases_continues_as_llama_cpp_does() {
    let Some(pack) = std::env::var_os("TL_REFERENCE") else { return };
    let scratch = Scratch::new("stories-with-biases");
    let stories = Parts::read(&Path::new(&pack).join("models/stories260K-f32.gguf"));
    let stories = stories.vectors("blk.*.attn_q.bias", 5, 64, 0.5).vectors("blk.*.attn_k.bias", 5, 32, 0.5);
    let model = stories.vectors("blk.*.attn_v.bias", 5, 32, 0.5).save(scratch.path("biased.gguf"));
    for mode in modes() {
        assert_eq!(mode.greedy(&model, &[1, 403, 407, 261, 378], 8).unwrap(), [378, 378, 378, 432, 432, 432, 432, 432]);
    }
}

#[test]
fn metadata_that_contradict_the_experts_are_refused() {
    let scratch = Scratch::new("contradicted-experts");
    let mode = &modes()[0];
    for (family, key, value, wanted) in [
        ("qwen2moe", "expert_count", 4u32, "`expert_count` is 4, and a router has 6"),
        ("qwen2moe", "expert_used_count", 0, "`expert_used_count` is 0, of 6 experts"),
        ("qwen2moe", "expert_used_count", 7, "`expert_used_count` is 7, of 6 experts"),
        ("glm4moe", "expert_gating_func", 7, "`expert_gating_func` is 7: known are 1 (softmax) and 2 (sigmoid)"),
        ("glm4moe", "expert_group_count", 4, "a choice of experts by 4 groups is not supported"),
        ("gemma3", "attention.sliding_window", 0, "`attention.sliding_window` is 0"),
    ] {
        let parts = Parts::read(&fixture(&format!("families/{family}-a.gguf"))).set(&format!("{family}.{key}"), value);
        let path = parts.save(scratch.path(&format!("{family}-{key}-{value}.gguf")));
        let error = mode.logits(&path, &[1, 2, 3], 3).unwrap_err();
        assert!(error.contains(wanted), "{family} with {key} {value}: {error}");
    }
    for (family, router) in [("qwen2moe", "blk.1.ffn_gate_inp.weight"), ("glm4moe", "blk.2.ffn_gate_inp.weight")] {
        let mut parts = Parts::read(&fixture(&format!("families/{family}-a.gguf")));
        parts.tensors.retain(|(name, ..)| name != router);
        let path = parts.save(scratch.path(&format!("{family}-without-router.gguf")));
        let error = mode.logits(&path, &[1, 2, 3], 3).unwrap_err();
        assert!(error.contains("is a mixture of"), "{family} without a router: {error}");
    }
}

//! The architectures that come with the engine, each as its `.tl` program, against the f64 passes of `tests/fixtures/make_families.py`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::path::Path;

use support::bounds::{F32_ERROR, granted, rms};
use support::programs::Mode;
use support::{difference, fixture, read_expected};
use tensorlogic::format::{GgufWriter, ModelFile};
use tensorlogic::graph::KvType;

const FAMILIES: [&str; 4] = ["tiny-qwen2", "tiny-qwen3", "tiny-llama3", "tiny-mistral"];

struct Family {
    tokens: Vec<i32>,
    exact: Vec<f32>,
    /// By the type of the cache, and by the activations too.
    errors: [f64; 2],
}

impl Family {
    fn read(name: &str) -> Family {
        let expected = read_expected(&fixture(&format!("{name}.safetensors")));
        let errors = expected["errors"].as_f32().unwrap();
        Family {
            tokens: expected["tokens"].as_i32().unwrap().to_vec(),
            exact: expected["exact.logits"].as_f32().unwrap().to_vec(),
            errors: [f64::from(errors[0]), f64::from(errors[1])],
        }
    }

    /// The rms that logits may err by: ten times what f32 does, 1.5 times what a cache in f16 does to an exact pass, and 1.1 times what
    /// rounding the activations does to one.
    fn bound(&self, mode: &Mode) -> f64 {
        match (mode.is_precise(), mode.kv_type) {
            (true, KvType::F32) => 10.0 * F32_ERROR * rms(&self.exact),
            (true, _) => 1.5 * self.errors[0],
            (false, _) => 1.1 * self.errors[1],
        }
    }

    fn check(&self, name: &str, model: &Path, mode: &Mode, failures: &mut Vec<String>) {
        for chunk in [self.tokens.len(), 16, 1] {
            let (rms, max) = difference(&mode.logits(model, &self.tokens, chunk).unwrap(), &self.exact);
            let bound = self.bound(mode);
            let what = format!(
                "{name:<13} {} {} kv {:<3?} chunks of {chunk:<2} rms {rms:.3e} (bound {bound:.3e}) max {max:.3e}",
                if mode.gpu { "gpu" } else { "cpu" },
                if mode.is_precise() { "precise" } else { "default" },
                mode.kv_type,
            );
            println!("{what}");
            if rms > bound {
                failures.push(what);
            }
        }
    }
}

#[test]
fn every_family_is_within_its_bounds() {
    let mut failures = Vec::new();
    for mode in Mode::all() {
        for name in FAMILIES {
            Family::read(name).check(name, &fixture(&format!("{name}.gguf")), &mode, &mut failures);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Every block format, IQ4_XS and MXFP4 among them, and F16 and BF16 in one file; and one file of one format. `make_tiny.py` gives exact logits
/// and no other passes, so the modes that round may err by what `src/doctor/model.rs` grants a whole block.
#[test]
fn every_weight_format_is_within_its_bounds() {
    for mode in Mode::all() {
        for name in ["tiny-mixed", "tiny-q4_0"] {
            let expected = read_expected(&fixture(&format!("{name}.safetensors")));
            let (tokens, exact) = (expected["tokens"].as_i32().unwrap(), expected["exact.logits"].as_f32().unwrap());
            let [f32, half, default] = granted(exact);
            let bound = match (mode.is_precise(), mode.kv_type) {
                (true, KvType::F32) => f32,
                (true, _) => half,
                (false, _) => default,
            };
            for chunk in [tokens.len(), 1] {
                let (error, _) = difference(&mode.logits(&fixture(&format!("{name}.gguf")), tokens, chunk).unwrap(), exact);
                println!("{name} gpu {} precise {} kv {:?} chunks of {chunk}: {error:.2e}", mode.gpu, mode.is_precise(), mode.kv_type);
                assert!(error <= bound, "{name}: {error:.3e} over {bound:.3e}");
            }
        }
    }
}

/// Every metadata key that a family's program reads is taken from the file: with another value the logits are others.
#[test]
fn what_the_file_says_is_heeded() {
    for (name, key, value) in [
        ("tiny-mistral", "llama.attention.sliding_window", 6.0),
        ("tiny-qwen2", "qwen2.rope.freq_base", 10000.0),
        ("tiny-qwen3", "qwen3.attention.layer_norm_rms_epsilon", 1e-3),
    ] {
        let family = Family::read(name);
        let changed = rewritten(name, &[(key, value)], &[]);
        let (rms, _) = difference(&Mode::precise(false).logits(&changed, &family.tokens, 40).unwrap(), &family.exact);
        std::fs::remove_file(changed).unwrap();
        assert!(rms > 10.0 * family.bound(&Mode::precise(false)), "{name} with {key} = {value}: rms {rms:.3e}");
    }
}

/// Hugging Face folders name Llama 3.1's scaling where GGUF files hold its factors: the numbers behind both are one.
#[test]
fn the_scaling_of_llama_3_by_name_is_that_of_its_factors() {
    let family = Family::read("tiny-llama3");
    let keys = [
        ("llama.rope.scaling.factor", 8.0),
        ("llama.rope.scaling.low_freq_factor", 1.0),
        ("llama.rope.scaling.high_freq_factor", 4.0),
        ("llama.rope.scaling.original_context_length", 64.0),
    ];
    let named = rewritten("tiny-llama3", &keys, &["rope_freqs.weight"]);
    let mut failures = Vec::new();
    family.check("tiny-llama3", &named, &Mode::precise(false), &mut failures);
    let unscaled = rewritten("tiny-llama3", &[], &["rope_freqs.weight"]);
    let (rms, _) = difference(&Mode::precise(false).logits(&unscaled, &family.tokens, 40).unwrap(), &family.exact);
    for path in [named, unscaled] {
        std::fs::remove_file(path).unwrap();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(rms > 1e-2, "without its factors the model is another, yet the rms is {rms:.3e}");
}

/// A copy of a fixture with numbers set and tensors left out, in the folder for temporary files. A scaling factor makes it Llama 3's.
fn rewritten(name: &str, numbers: &[(&str, f64)], without: &[&str]) -> std::path::PathBuf {
    let file = ModelFile::open(&fixture(&format!("{name}.gguf")), false).unwrap();
    let mut out = GgufWriter::new();
    for (key, value) in file.metadata().iter() {
        out.set(key, value.clone());
    }
    for (key, value) in numbers {
        match value.fract() == 0.0 && !key.ends_with("freq_base") {
            true => out.set(key, *value as u32),
            false => out.set(key, *value as f32),
        };
        if key.ends_with("scaling.factor") {
            out.set("llama.rope.scaling.type", "llama3");
        }
    }
    for tensor in file.tensors().tensors().iter().filter(|t| !without.contains(&t.name.as_str())) {
        out.tensor(&tensor.name, tensor.shape.clone(), tensor.dtype, file.data(&tensor.name).unwrap());
    }
    let label: String = numbers.iter().map(|(key, _)| key.rsplit('.').next().unwrap()).chain(without.iter().copied()).collect();
    let path = std::env::temp_dir().join(format!("tl-{name}-{label}-{}.gguf", std::process::id()));
    out.save(&path).unwrap();
    path
}

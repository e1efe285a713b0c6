//! Plants a fault in the llama program or in a model file, and asks what is to blame.

use std::path::Path;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel, TracePoint};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::KvType;
use tensorlogic::lang::Architectures;
use tensorlogic::text::TokenId;
use tensorlogic::trace::{Diagnosis, Reference, Rounding, Select, Tolerance, Trace, compare, diagnose, to_safetensors};

use crate::scratch::Scratch;
use crate::support::damaged::File;
use crate::support::fixture;

pub const MODEL: &str = "tiny-f32";

/// What is other than in the good program and the good file.
pub struct Planted {
    pub name: &'static str,
    /// Text of the program and what takes its place.
    pub edits: &'static [(&'static str, &'static str)],
    pub file: fn(&mut File),
    /// The step to blame.
    pub step: &'static str,
    /// Words of which one of the first two reasons has some.
    pub says: &'static [&'static str],
    pub kv: KvType,
}

pub fn program(
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    step: &'static str,
    says: &'static [&'static str],
) -> Planted {
    Planted { name, edits, file: |_| {}, step, says, kv: KvType::F32 }
}

pub fn file(name: &'static str, file: fn(&mut File), step: &'static str, says: &'static [&'static str]) -> Planted {
    Planted { name, edits: &[], file, step, says, kv: KvType::F32 }
}

/// More tokens than a kernel for few rows takes, and no power of two.
pub fn ids() -> Vec<TokenId> {
    [1, 40, 77, 266, 12, 5, 90, 281, 150, 33, 264].map(TokenId).to_vec()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// f32 throughout.
    Precise,
    /// What a user gets who names nothing: activations in 8-bit blocks are allowed.
    Default,
}

pub fn backend(mode: Mode) -> Backend {
    let request = DeviceRequest { backend: BackendChoice::Cpu, precise: mode == Mode::Precise, ..DeviceRequest::default() };
    Backend::open(&request).unwrap()
}

pub fn load(file: ModelFile, arch: Option<&Path>, backend: &Backend, kv_type: KvType) -> LoadedModel {
    let request = LoadRequest { arch: arch.map(Path::to_owned), kv_type, ..LoadRequest::default() };
    LoadedModel::from_file(file, backend, &request).unwrap()
}

pub fn trace_of(model: &LoadedModel) -> Trace {
    model.trace_values(&TracePoint::of_prompt(ids()), Select::Labelled, None).unwrap()
}

/// What the good program gives in full precision, as a file that something else might have written.
pub fn reference(scratch: &Scratch, model: &str) -> Reference {
    let file = ModelFile::open(&fixture(&format!("{model}.gguf")), true).unwrap();
    let good = trace_of(&load(file, None, &Backend::exact(), KvType::F32));
    let path = scratch.path("good.safetensors");
    to_safetensors(&good, &path).unwrap();
    Reference::from_file(&path).unwrap()
}

pub fn faulty(planted: &Planted, backend: &Backend, scratch: &Scratch) -> LoadedModel {
    let (_, mut text) = Architectures::find("llama").map(|(name, text)| (name, text.to_owned())).unwrap();
    for (from, to) in planted.edits {
        assert!(text.contains(from), "{}: the program no longer says `{from}`", planted.name);
        text = text.replace(from, to);
    }
    // A fault that leaves a tensor out is refused where it does not say so.
    text.push_str("\nignore(\"*\")\n");
    let arch = scratch.path("faulty.tl");
    std::fs::write(&arch, text).unwrap();
    let mut file = File::open(MODEL);
    (planted.file)(&mut file);
    load(ModelFile::from_bytes("faulty.gguf", file.bytes).unwrap(), Some(&arch), backend, planted.kv)
}

pub fn tolerance(mode: Mode) -> Tolerance {
    Tolerance::of(if mode == Mode::Precise { Rounding::F32 } else { Rounding::Int8 })
}

pub fn examined(planted: &Planted, mode: Mode, reference: &Reference, scratch: &Scratch) -> Option<Diagnosis> {
    let trace = trace_of(&faulty(planted, &backend(mode), scratch));
    let comparison = compare(&trace, reference, tolerance(mode));
    diagnose(&trace, reference, &comparison)
}

/// Whether the step and the reason are right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    pub seen: bool,
    pub step: bool,
    pub reason: bool,
}

pub fn judged(planted: &Planted, diagnosis: Option<&Diagnosis>) -> (Hit, String) {
    let Some(diagnosis) = diagnosis else {
        return (Hit { seen: false, step: false, reason: false }, format!("{}: not seen", planted.name));
    };
    let told = diagnosis.reasons.iter().take(2).any(|r| planted.says.iter().any(|words| r.text.contains(words)));
    let reasons: Vec<String> = diagnosis.reasons.iter().map(|r| format!("{:?}: {r}", r.kind)).collect();
    let text = format!(
        "{}: blamed {} (expected {}), {:?}\n  {}",
        planted.name,
        diagnosis.name,
        planted.step,
        diagnosis.verdict,
        reasons.join("\n  ")
    );
    (Hit { seen: true, step: diagnosis.name == planted.step, reason: told }, text)
}

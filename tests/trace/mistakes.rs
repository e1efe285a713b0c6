//! Mistakes as people make them, in a copy of the program or in the file. They were thought up and written down, with what should be said of
//! each, before the diagnosis had been seen; the second half after it had been mended for the first.

use std::path::Path;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineError, LoadRequest, LoadedModel, TracePoint};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::KvType;
use tensorlogic::lang::Architectures;
use tensorlogic::text::TokenId;
use tensorlogic::trace::{Diagnosis, Reference, Rounding, Select, Tolerance, Trace, compare, diagnose, to_safetensors};

use crate::scratch::Scratch;
use crate::support::damaged::File;
use crate::support::fixture;

/// What is other than in the good program or the good file.
enum Plant {
    Program(&'static [(&'static str, &'static str)]),
    File(fn(&mut File)),
}

struct Mistake {
    name: &'static str,
    model: &'static str,
    plant: Plant,
    /// The step to blame.
    step: &'static str,
    /// Words of a reason.
    says: &'static str,
}

fn program(name: &'static str, edits: &'static [(&'static str, &'static str)], step: &'static str, says: &'static str) -> Mistake {
    Mistake { name, model: "tiny-f32", plant: Plant::Program(edits), step, says }
}

fn file(name: &'static str, model: &'static str, edit: fn(&mut File), step: &'static str, says: &'static str) -> Mistake {
    Mistake { name, model, plant: Plant::File(edit), step, says }
}

/// Rows as transformers has them: a head's first halves, then its second halves.
fn unpermuted(file: &mut File) {
    for (tensor, n_heads) in
        [("blk.0.attn_q.weight", 4), ("blk.0.attn_k.weight", 2), ("blk.1.attn_q.weight", 4), ("blk.1.attn_k.weight", 2)]
    {
        let row_bytes = 32 * 4;
        let data = file.data(tensor);
        let old = data.to_vec();
        let head_dim = data.len() / row_bytes / n_heads;
        for (i, row) in data.chunks_mut(row_bytes).enumerate() {
            let (head, d) = (i / head_dim, i % head_dim);
            let from = head * head_dim + d % (head_dim / 2) * 2 + d / (head_dim / 2);
            row.copy_from_slice(&old[from * row_bytes..][..row_bytes]);
        }
    }
}

/// Neighbouring values in one byte.
fn neighbours(file: &mut File) {
    for block in file.data("blk.0.ffn_up.weight").chunks_mut(18) {
        let quants = block[2..].to_vec();
        let value = |i: usize| if i < 16 { quants[i] & 15 } else { quants[i - 16] >> 4 };
        (0..16).for_each(|i| block[2 + i] = value(2 * i) | value(2 * i + 1) << 4);
    }
}

fn mistakes() -> Vec<Mistake> {
    vec![
        program("another activation", &[("silu(gate)", "gelu(gate)")], "blk.0.silu_gate", "silu for gelu"),
        program(
            "a residual from before attention",
            &[("let output = ffn_inp + ffn_out", "let output = x + ffn_out")],
            "blk.0.output",
            "blk.0.ffn_inp in the place of embedding",
        ),
        program(
            "the other norm's weight",
            &[("rms_norm(ffn_inp, w.ffn_norm.weight", "rms_norm(ffn_inp, w.attn_norm.weight")],
            "blk.0.ffn_norm",
            "the weight blk.0.ffn_norm.weight for blk.0.attn_norm.weight",
        ),
        program(
            "key-value heads in turn instead of in groups",
            &[(
                "let attn_out = attention(q_rope, cache.append(i, k_rope, v), window: window)",
                "let t = shape(q_rope)[0]
    let d = shape(q_rope)[2]
    let mixed = reshape(transpose(reshape(q_rope, [t, 2, 2, d]), 1, 2), [t, 4, d])
    let read = attention(mixed, cache.append(i, k_rope, v), window: window)
    let attn_out = reshape(transpose(reshape(read, [t, 2, 2, d]), 1, 2), [t, 4, d])",
            )],
            "blk.0.attn_out",
            "reorderings of dimensions",
        ),
        program(
            "a rotation backwards",
            &[
                ("let q_rope = rope(q, cache.position, rotary)", "let q_rope = back(q, cache.position)"),
                ("let k_rope = rope(k, cache.position, rotary)", "let k_rope = back(k, cache.position)"),
                (
                    "fn block(",
                    "fn swap(x) {
    let s = shape(x)
    let pairs = reshape(x, [s[0], s[1], 4, 2])
    reshape(concat([slice(pairs, 3, 1, 2), slice(pairs, 3, 0, 1)], dim: 3), [s[0], s[1], s[2]])
}
fn back(x, position) { swap(rope(swap(x), position, rotary)) }
fn block(",
                ),
            ],
            "blk.0.q_rope",
            "the rotation backwards",
        ),
        file("rows in the order of transformers", "tiny-f32", unpermuted, "blk.0.q", "RoPE order"),
        file(
            "another model's base",
            "tiny-f32",
            |f| f.set_f32("llama.rope.freq_base", 500_000.0),
            "blk.0.q_rope",
            "a base of 10000 for 500000",
        ),
        file(
            "two layers' tensors exchanged",
            "tiny-f32",
            |f| f.swap("blk.0.ffn_down.weight", "blk.1.ffn_down.weight"),
            "blk.0.ffn_out",
            "the weight blk.1.ffn_down.weight for blk.0.ffn_down.weight",
        ),
        file("neighbours in a byte", "tiny-q4_0", neighbours, "blk.0.up", "neighbours (2i, 2i + 1) where the format has halves"),
        // The second half.
        program(
            "values rotated as well",
            &[("cache.append(i, k_rope, v)", "cache.append(i, k_rope, rope(v, cache.position, rotary))")],
            "blk.0.attn_out",
            "no rotation",
        ),
        program(
            "keys that are not rotated",
            &[("cache.append(i, k_rope, v)", "cache.append(i, k, v)")],
            "blk.0.attn_out",
            "blk.0.k_rope in the place of blk.0.k",
        ),
        program(
            "silu of the product",
            &[("let silu_gate = silu(gate)\n    let gated = silu_gate * up", "let gated = silu(gate * up)")],
            "blk.0.gated",
            "the function applied to the first operand",
        ),
        program(
            "an embedding scaled as Gemma's",
            &[(
                "let embedding = embedding(tokens, model.token_embd.weight)",
                "let embedding = embedding(tokens, model.token_embd.weight) * 8.0",
            )],
            "embedding",
            "every value is 8.000000 times the reference's",
        ),
        program(
            "no final norm",
            &[("let logits = output_logits(final_norm,", "let logits = output_logits(x,")],
            "logits",
            "final_norm in the place of blk.1.output",
        ),
        program(
            "a scale of 1 / D",
            &[("window: window)", "window: window, scale: 1.0 / 8.0)")],
            "blk.0.attn_out",
            "the factor 1 / √8 of its scale once less",
        ),
        file(
            "gate and up exchanged",
            "tiny-f32",
            |f| [0, 1].iter().for_each(|i| f.swap(&format!("blk.{i}.ffn_gate.weight"), &format!("blk.{i}.ffn_up.weight"))),
            "blk.0.gate",
            "the weight blk.0.ffn_up.weight for blk.0.ffn_gate.weight",
        ),
        file(
            "another model's eps",
            "tiny-f32",
            |f| f.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-3),
            "blk.0.attn_norm",
            "an eps of 1e-5",
        ),
    ]
}

/// The CPU, and under `TL_REQUIRE_GPU=1` the GPU.
fn backends() -> Vec<Backend> {
    let open = |backend| Backend::open(&DeviceRequest { backend, precise: true, ..DeviceRequest::default() }).unwrap();
    let gpu = std::env::var("TL_REQUIRE_GPU").is_ok_and(|v| v != "0");
    let mut backends = vec![open(BackendChoice::Cpu)];
    backends.extend(gpu.then(|| open(BackendChoice::Auto)));
    backends
}

fn load(file: ModelFile, arch: Option<&Path>, backend: &Backend) -> Result<LoadedModel, EngineError> {
    let request = LoadRequest { arch: arch.map(Path::to_owned), kv_type: KvType::F32, ..LoadRequest::default() };
    LoadedModel::from_file(file, backend, &request)
}

fn good_file(model: &str) -> ModelFile {
    ModelFile::open(&fixture(&format!("{model}.gguf")), true).unwrap()
}

/// More tokens than a kernel for few rows takes, and no power of two.
fn ids() -> Vec<TokenId> {
    [1, 40, 77, 266, 12, 5, 90, 281, 150, 33, 264].map(TokenId).to_vec()
}

fn trace(model: &LoadedModel) -> Result<Trace, EngineError> {
    model.trace_values(&TracePoint::of_prompt(ids()), Select::Labelled, None)
}

/// Runs the faulty model and gives what is said of it.
fn examined(mistake: &Mistake, backend: &Backend, scratch: &Scratch) -> Result<Option<Diagnosis>, EngineError> {
    let good = trace(&load(good_file(mistake.model), None, backend).unwrap()).unwrap();
    let path = scratch.path("good.safetensors");
    to_safetensors(&good, &path).unwrap();
    let reference = Reference::from_file(&path).unwrap();
    let faulty = match &mistake.plant {
        Plant::Program(edits) => {
            let (_, mut text) = Architectures::find("llama").map(|(name, text)| (name, text.to_owned())).unwrap();
            for (from, to) in *edits {
                assert!(text.contains(from), "{}: the program no longer says `{from}`", mistake.name);
                text = text.replace(from, to);
            }
            // Loading would tell of a tensor that the mistake leaves unused, before anything is traced.
            text.push_str("\nignore(\"*\")\n");
            let arch = scratch.path("faulty.tl");
            std::fs::write(&arch, text).unwrap();
            load(good_file(mistake.model), Some(&arch), backend)?
        }
        Plant::File(edit) => {
            let mut file = File::open(mistake.model);
            edit(&mut file);
            load(ModelFile::from_bytes("faulty.gguf", file.bytes)?, None, backend)?
        }
    };
    let trace = trace(&faulty)?;
    let comparison = compare(&trace, &reference, Tolerance::of(Rounding::F32));
    Ok(diagnose(&trace, &reference, &comparison))
}

#[test]
fn mistakes_are_blamed_on_their_step_for_their_reason() {
    let scratch = Scratch::new("mistakes");
    let mut missed = Vec::new();
    for backend in backends() {
        for mistake in mistakes() {
            let Some(diagnosis) = examined(&mistake, &backend, &scratch).unwrap() else {
                missed.push(format!("{}: not seen", mistake.name));
                continue;
            };
            let told = diagnosis.reasons.iter().take(2).any(|r| r.text.contains(mistake.says));
            if diagnosis.name != mistake.step || !told || diagnosis.backend_is_wrong == Some(true) {
                let reasons: Vec<&str> = diagnosis.reasons.iter().map(|r| r.text.as_str()).collect();
                missed.push(format!("{} on {}: blamed {}\n  {}", mistake.name, backend.note, diagnosis.name, reasons.join("\n  ")));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_layer_index_that_is_not_changed_is_refused() {
    let scratch = Scratch::new("mistakes-refused");
    let edit = &[("cache.append(i, k_rope, v)", "cache.append(0, k_rope, v)")];
    let error = examined(&program("one layer for all", edit, "", ""), &backends()[0], &scratch).unwrap_err();
    let EngineError::Program(error) = error else { panic!("{error}") };
    assert_eq!(error.diagnostics[0].message, "layer 0 of the cache is appended to twice in one pass");
}

#[test]
fn an_offset_that_is_off_is_refused() {
    let scratch = Scratch::new("mistakes-offset");
    let shifted = |file: &mut File| {
        let at = file.offset_of("blk.0.attn_v.weight");
        file.bytes[at] = file.bytes[at].wrapping_add(32);
    };
    let error = examined(&file("a shifted tensor", "tiny-f32", shifted, "", ""), &backends()[0], &scratch).unwrap_err().to_string();
    assert!(error.contains("overlaps"), "{error}");
}

#[test]
fn tokens_that_are_not_the_references_are_named_first() {
    let scratch = Scratch::new("mistakes-tokens");
    let backend = &backends()[0];
    let model = load(good_file("tiny-f32"), None, backend).unwrap();
    let path = scratch.path("good.safetensors");
    to_safetensors(&trace(&model).unwrap(), &path).unwrap();
    let reference = Reference::from_file(&path).unwrap();
    let without_bos = model.trace_values(&TracePoint::of_prompt(ids()[1..].to_vec()), Select::Labelled, None).unwrap();
    let comparison = compare(&without_bos, &reference, Tolerance::of(Rounding::F32));
    let diagnosis = diagnose(&without_bos, &reference, &comparison).unwrap();
    let expected = "other tokens were fed: at position 0 40 here and 1 in the reference; the reference has 1 more in front, perhaps a BOS";
    assert_eq!(diagnosis.reasons[0].text, expected);
}

/// What was fed before a decode step is part of its file.
#[test]
fn a_decode_step_is_written_with_what_was_fed_before_it() {
    let scratch = Scratch::new("mistakes-history");
    let model = load(good_file("tiny-f32"), None, &backends()[0]).unwrap();
    let point = TracePoint { ids: ids(), n_prompt: 7, position: 10 };
    let path = scratch.path("step.safetensors");
    to_safetensors(&model.trace_values(&point, Select::Labelled, None).unwrap(), &path).unwrap();
    let reference = Reference::from_file(&path).unwrap();
    let history: Vec<i32> = ids()[..10].iter().map(|id| id.0 as i32).collect();
    assert_eq!((reference.history(), reference.token_ids().unwrap()), (&history[..], &[264][..]));
}

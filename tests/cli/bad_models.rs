//! Damaged and unfit model files: one line on stderr, exit code 1, and no panic.

use tensorlogic::format::{MetadataArray, ModelFile};

use crate::models::{Image, Parts};
use crate::process::{Run, fixture, tiny, tl};
use crate::scratch::{Scratch, assert_contains};

/// Writes the file and runs a completion of two ids, which needs no tokenizer.
fn complete(scratch: &Scratch, name: &str, bytes: &[u8]) -> Run {
    let path = write(scratch, name, bytes);
    tl(&["generate", &path, "--tokens", "1,267", "--max-tokens", "2", "--temperature", "0"])
}

fn write(scratch: &Scratch, name: &str, bytes: &[u8]) -> String {
    let path = scratch.path(&format!("{name}.gguf"));
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn assert_refused(cases: &[(&str, Vec<u8>, &[&str])]) {
    // Tests run side by side, each in a folder of its own.
    let scratch = Scratch::new(cases[0].0);
    for (name, bytes, words) in cases {
        let run = complete(&scratch, name, bytes);
        println!("{name}: {}", run.refusal(1));
        assert_contains(run.refusal(1), words);
    }
}

#[test]
fn an_unharmed_copy_is_taken() {
    let scratch = Scratch::new("unharmed");
    complete(&scratch, "bytes", &Image::of("tiny-f32.gguf").0).answer();
    assert_eq!(
        complete(&scratch, "again", &Parts::tiny().bytes()).answer(),
        complete(&scratch, "bytes", &Image::of("tiny-f32.gguf").0).answer()
    );
}

#[test]
fn what_is_no_gguf_file_is_refused() {
    let image = || Image::of("tiny-f32.gguf");
    assert_refused(&[
        ("empty", Vec::new(), &["empty.gguf"]),
        ("prose", b"A text, and a longer one than the header of a model has.".to_vec(), &["is no GGUF file", "`A te`"]),
        ("version-1", image().put(4, &1u32.to_le_bytes()).0, &["GGUF version 1 is not read"]),
        ("version-4", image().put(4, &4u32.to_le_bytes()).0, &["GGUF version 4 is unknown"]),
        ("big-endian", image().put(4, &3u32.to_be_bytes()).0, &["big-endian"]),
    ]);
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let image = Image::of("tiny-f32.gguf");
    let file = ModelFile::open(&fixture("tiny-f32.gguf"), false).unwrap();
    let tensors = file.tensors().tensors();
    let (first, last) = (tensors[0].offset, tensors.last().unwrap());
    let cuts = [
        ("magic", 3),
        ("version", 6),
        ("tensor-count", 12),
        ("metadata-count", 20),
        ("key", 30),
        ("value", image.find("llama.embedding_length") + 24),
        ("array", image.find("tokenizer.ggml.tokens") + 400),
        ("tensor-name", image.find("blk.0.attn_q.weight") + 5),
        ("tensor-entry", image.entry("blk.0.attn_q.weight") + 9),
        ("before-the-data", first),
        ("first-tensor", first + 10),
        ("last-tensor", last.offset + last.len_bytes - 1),
    ];
    let cases: Vec<(&str, Vec<u8>, &[&str])> =
        cuts.iter().map(|&(name, at)| (name, image.0[..at].to_vec(), &["download it again"][..])).collect();
    assert_refused(&cases);
}

#[test]
fn numbers_that_no_file_has_are_refused() {
    let image = || Image::of("tiny-f32.gguf");
    let huge = (1u64 << 60).to_le_bytes();
    let at_entry = |n: usize| image().entry("blk.1.ffn_up.weight") + n;
    let tokens_len = image().entry("tokenizer.ggml.tokens") + 8;
    assert_refused(&[
        ("tensor-count", image().put(8, &huge).0, &["1152921504606846976 tensors"]),
        ("pair-count", image().put(16, &huge).0, &["1152921504606846976 metadata pairs"]),
        ("key-length", image().put(24, &huge).0, &["1152921504606846976 bytes long"]),
        ("array-length", image().put(tokens_len, &huge).0, &["1152921504606846976 elements", "tokenizer.ggml.tokens"]),
        ("value-type", image().put(image().entry("tokenizer.ggml.tokens"), &77u32.to_le_bytes()).0, &["unknown value type 77"]),
        ("rank", image().put(at_entry(0), &9u32.to_le_bytes()).0, &["blk.1.ffn_up.weight", "9 dimensions"]),
        ("dimension", image().put(at_entry(4), &huge).0, &["blk.1.ffn_up.weight"]),
        ("type-99", image().put(at_entry(20), &99u32.to_le_bytes()).0, &["blk.1.ffn_up.weight", "99"]),
        ("removed-type", image().put(at_entry(20), &4u32.to_le_bytes()).0, &["blk.1.ffn_up.weight", "4"]),
        (
            "offset-outside",
            image().put(at_entry(24), &(1u64 << 30).to_le_bytes()).0,
            &["blk.1.ffn_up.weight", "offset", "the file ends at"],
        ),
        ("offset-2-60", image().put(at_entry(24), &huge).0, &["blk.1.ffn_up.weight", "offset"]),
        ("offset-crooked", image().put(at_entry(24), &33u64.to_le_bytes()).0, &["blk.1.ffn_up.weight", "alignment 32"]),
        ("overlap", image().put(at_entry(24), &0u64.to_le_bytes()).0, &["overlaps"]),
    ]);
}

/// Where a block of each format has a scale. What is not here is a plain number.
const SCALE_AT: [(&str, usize); 13] = [
    ("q4_0", 0),
    ("q4_1", 2),
    ("q5_0", 0),
    ("q5_1", 2),
    ("q8_0", 0),
    ("q2_k", 82),
    ("q3_k", 108),
    ("q4_k", 2),
    ("q5_k", 0),
    ("q6_k", 208),
    ("iq4_nl", 0),
    ("iq4_xs", 0),
    ("mxfp4", 0),
];

/// One tensor of each type that the fixture has, its last block spoiled, in turn with inf and NaN.
#[test]
fn a_weight_with_inf_or_nan_is_refused_in_every_format() {
    let file = ModelFile::open(&fixture("tiny-mixed.gguf"), false).unwrap();
    let mut seen = Vec::new();
    let mut cases = Vec::new();
    for tensor in file.tensors().tensors() {
        let name = tensor.dtype.name();
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let block = tensor.offset + tensor.len_bytes - tensor.dtype.block_bytes();
        let nan = seen.len() % 2 == 0;
        let f16 = if nan { 0x7e00u16 } else { 0xfc00 }.to_le_bytes();
        let f32 = if nan { f32::NAN } else { f32::INFINITY }.to_le_bytes();
        let image = Image::of("tiny-mixed.gguf");
        let image = match SCALE_AT.iter().find(|(n, _)| *n == name) {
            Some(("mxfp4", at)) => image.put(block + at, &[255]),
            Some((_, at)) => image.put(block + at, &f16),
            None if name == "f16" => image.put(block, &f16),
            None if name == "bf16" => image.put(block, &f32[2..]),
            None => image.put(block, &f32),
        };
        cases.push((name, image.0, tensor.name.clone()));
    }
    assert_eq!(seen.len(), SCALE_AT.len() + 3, "{seen:?}");
    let words: Vec<[&str; 2]> = cases.iter().map(|(_, _, tensor)| [&tensor[..], "inf or NaN"]).collect();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = cases.iter().zip(&words).map(|((n, bytes, _), w)| (*n, bytes.clone(), &w[..])).collect();
    assert_refused(&cases);
}

#[test]
fn a_model_that_contradicts_itself_is_refused() {
    let tiny = Parts::tiny;
    let (heads, kv_heads) = ("llama.attention.head_count", "llama.attention.head_count_kv");
    assert_refused(&[
        (
            "architecture",
            tiny().of_architecture("abacus").bytes(),
            &["architecture `abacus` is unknown", "llama, minimax-m2, mistral3", "--arch FILE.tl"],
        ),
        ("mamba", tiny().of_architecture("mamba").bytes(), &["architecture `mamba` is unknown: known are "]),
        ("bert", tiny().of_architecture("bert").bytes(), &["architecture `bert` is unknown: known are "]),
        ("mpt", tiny().of_architecture("mpt").bytes(), &["architecture `mpt` is unknown: known are "]),
        ("only-the-name", tiny().set("general.architecture", "abacus").bytes(), &["architecture `abacus` is unknown"]),
        ("no-architecture", tiny().without_keys("general.architecture").bytes(), &["general.architecture"]),
        ("a-crooked-name", tiny().set("general.architecture", "\u{1b}[2Ja\nb").bytes(), &["\\u{1b}[2Ja b"]),
        ("no-width", tiny().without_keys("llama.embedding_length").bytes(), &["`llama.embedding_length` is missing"]),
        ("no-eps", tiny().without_keys("llama.attention.layer_norm").bytes(), &["no-eps.gguf", "llama.attention.layer_norm_rms_epsilon"]),
        ("no-layers", tiny().set("llama.block_count", 0u32).bytes(), &["`llama.block_count` is 0"]),
        ("million-layers", tiny().set("llama.block_count", 1_000_000u32).bytes(), &["llama.block_count"]),
        ("a-layer-more", tiny().set("llama.block_count", 3u32).bytes(), &["blk.2", "a-layer-more.gguf"]),
        ("no-q", tiny().without_tensor("blk.1.attn_q.weight").bytes(), &["no-q.gguf", "`blk.1.attn_q.weight`", "tl inspect"]),
        ("no-embedding", tiny().without_tensor("token_embd.weight").bytes(), &["`token_embd.weight` is missing"]),
        ("no-norm", tiny().without_tensor("output_norm.weight").bytes(), &["`output_norm.weight`"]),
        ("three-heads", tiny().set(heads, 3u32).bytes(), &["3", "head_count"]),
        ("three-kv-heads", tiny().set(kv_heads, 3u32).bytes(), &["4 query heads are no multiple of 3 key-value heads"]),
        ("no-kv-heads", tiny().set(kv_heads, 0u32).bytes(), &["key-value heads"]),
        ("six-heads", tiny().set(heads, 6u32).set(kv_heads, 6u32).bytes(), &["6 heads"]),
        ("two-heads", tiny().set(heads, 2u32).bytes(), &["two-heads.gguf", "std/llama.tl:"]),
        ("one-kv-head", tiny().set(kv_heads, 1u32).bytes(), &["one-kv-head.gguf", "std/llama.tl:"]),
        ("half-width", tiny().set("llama.embedding_length", 16u32).bytes(), &["half-width.gguf"]),
        ("heads-as-text", tiny().set(heads, "four").bytes(), &[heads]),
        ("odd-rotation", tiny().set("llama.rope.dimension_count", 3u32).bytes(), &["even number of dimensions"]),
        ("wide-rotation", tiny().set("llama.rope.dimension_count", 1000u32).bytes(), &["1000"]),
        ("base-nan", tiny().set("llama.rope.freq_base", f32::NAN).bytes(), &["base"]),
    ]);
}

/// A matrix on its side has as many bytes, but is no matrix of this model.
#[test]
fn a_tensor_of_another_shape_is_refused() {
    let mut parts = Parts::tiny();
    let up = parts.tensors.iter_mut().find(|(name, ..)| name == "blk.0.ffn_up.weight").unwrap();
    let dims = up.1.dims().to_vec();
    up.1 = [dims[1], dims[0]].into();
    assert_refused(&[("sideways", parts.bytes(), &["sideways.gguf", "std/llama.tl:"])]);
}

#[test]
fn without_a_tokenizer_ids_work_and_text_does_not() {
    let scratch = Scratch::new("no-tokenizer");
    let bytes = Parts::tiny().without_keys("tokenizer.ggml").bytes();
    let path = write(&scratch, "mute", &bytes);
    let ids = complete(&scratch, "mute", &bytes);
    assert!(ids.answer().trim().split(',').all(|id| id.parse::<u32>().is_ok()), "{ids:?}");
    let words = ["has no tokenizer", "--tokens"];
    assert_contains(tl(&["generate", &path, "--prompt", "the"]).refusal(1), &words);
    assert_contains(tl(&["chat", &path, "--prompt", "the"]).refusal(1), &words);
    assert_contains(tl(&["tokenize", &path, "the"]).refusal(1), &words);
}

#[test]
fn a_damaged_vocabulary_is_refused_where_text_is_needed() {
    let scratch = Scratch::new("vocabulary");
    let short = Parts::tiny().set("tokenizer.ggml.scores", MetadataArray::from_f32s(&[0.0; 3])).bytes();
    let strange = Parts::tiny().set("tokenizer.ggml.model", "abacus").bytes();
    for (name, bytes, word) in [("short", short, "tokenizer.ggml.scores"), ("strange", strange, "abacus")] {
        complete(&scratch, name, &bytes).answer();
        let path = write(&scratch, name, &bytes);
        assert_contains(tl(&["generate", &path, "--prompt", "the"]).refusal(1), &[word]);
    }
}

/// Its last tokens would read rows that are not there.
#[test]
fn a_vocabulary_larger_than_the_embedding_is_refused() {
    let mut parts = Parts::tiny();
    let embedding = parts.tensors.iter_mut().find(|(name, ..)| name == "token_embd.weight").unwrap();
    let (rows, width) = (embedding.1.rows() - 2, embedding.1.last_dim());
    embedding.1 = [rows, width].into();
    embedding.3.truncate(rows * width * 4);
    assert_refused(&[("few-rows", parts.bytes(), &["few-rows.gguf", "307 tokens", "305 rows"])]);
}

#[test]
fn a_template_that_fails_is_refused() {
    let scratch = Scratch::new("template");
    let refusing = "{{ raise_exception('roles must\nalternate\u{1b}[2J') }}";
    let cases = [
        ("{% if %}", "cannot be parsed"),
        (refusing, "roles must alternate\\u{1b}[2J"),
        ("{{ messages[0].content.nothing.at.all }}", "the chat template failed"),
        ("{% for i in range(100000000) %}x{% endfor %}", "the chat template"),
    ];
    for (template, word) in cases {
        let path = scratch.path("template.jinja");
        std::fs::write(&path, template).unwrap();
        let by_flag = tl(&["chat", &tiny("f32"), "--template", path.to_str().unwrap(), "--prompt", "the"]);
        assert_contains(by_flag.refusal(1), &[word]);
        let in_file = write(&scratch, "model", &Parts::tiny().set("tokenizer.chat_template", template).bytes());
        assert_contains(tl(&["chat", &in_file, "--prompt", "the"]).refusal(1), &[word]);
    }
    assert_contains(tl(&["chat", "--template", "/nowhere.jinja", "--prompt", "the"]).refusal(1), &["/nowhere.jinja"]);
}

#[test]
fn a_path_that_holds_no_model_is_refused() {
    let scratch = Scratch::new("paths");
    let folder = scratch.path("");
    for path in [folder.to_str().unwrap(), "/nowhere/model.gguf", "/dev/null"] {
        for command in ["inspect", "generate"] {
            let ids: &[&str] = if command == "generate" { &["--tokens", "1"] } else { &[] };
            let run = tl(&[&[command, path], ids].concat());
            assert_contains(run.refusal(1), &[path]);
        }
    }
    std::fs::write(scratch.path("config.json"), "{\"model_type\":").unwrap();
    assert_contains(tl(&["generate", folder.to_str().unwrap(), "--tokens", "1"]).refusal(1), &["config.json"]);
}

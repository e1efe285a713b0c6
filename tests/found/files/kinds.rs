//! Files and folders that are found in a model's place: each is said to be what it is, in one line that ends with what to do.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use tensorlogic::format::{GgufWriter, Safetensors, save_safetensors};
use tensorlogic::tensor::HostTensor;

use crate::scratch::{Scratch, assert_contains};
use crate::support::parts::Parts;

fn tl(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tl")).args(args).output().unwrap()
}

/// The one line that a command says of a path that it cannot run; all commands that take a model say the same.
fn refusal(path: &Path) -> String {
    let run = tl(&["generate", path.to_str().unwrap(), "--backend", "cpu", "--tokens", "1,2", "--max-tokens", "1"]);
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!((run.status.code(), run.stdout.len()), (Some(1), 0), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("cpu: ")).collect();
    let [line] = lines[..] else { panic!("not one line: {said}") };
    assert!(line.starts_with("error: "), "{line}");
    line.to_owned()
}

fn inspected(path: &Path) -> String {
    let run = tl(&["inspect", path.to_str().unwrap()]);
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn what_was_downloaded_in_a_models_place_is_named() {
    let scratch = Scratch::new("kinds");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\nsize 2019377696\n";
    for (name, bytes, words) in [
        ("pointer.gguf", pointer.as_bytes(), &["pointer.gguf", "a Git LFS pointer to a file of 2019377696 bytes", "git lfs pull"][..]),
        ("pointer.safetensors", pointer.as_bytes(), &["a Git LFS pointer"]),
        ("page.gguf", b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>", &["is a web page", "download the file itself"]),
        ("denied.gguf", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", &["is a web page"]),
        ("weights.bin", b"PK\x03\x04\x00\x00archive/data.pkl", &["a ZIP archive", "safetensors or GGUF"]),
        ("old.gguf", b"tjgg\x03\x00\x00\x00and the rest", &["older than GGUF", "convert the model again"]),
    ] {
        let path = scratch.path(name);
        std::fs::write(&path, bytes).unwrap();
        assert_contains(&refusal(&path), words);
    }
}

/// Two parts of tiny-f32 as llama.cpp's tool splits a file.
fn split(scratch: &Scratch) -> [std::path::PathBuf; 2] {
    let tiny = Parts::of("tiny-f32");
    let half = tiny.tensors.len() / 2;
    [0, 1].map(|no| {
        let mut out = GgufWriter::new();
        for (key, value) in tiny.metadata.iter().filter(|_| no == 0) {
            out.set(key, value.clone());
        }
        out.set("split.no", no as u16).set("split.count", 2u16).set("split.tensors.count", tiny.tensors.len() as i32);
        let tensors = if no == 0 { &tiny.tensors[..half] } else { &tiny.tensors[half..] };
        for (name, shape, dtype, data) in tensors {
            out.tensor(name, shape.clone(), *dtype, &data[..]);
        }
        let path = scratch.path(&format!("model-0000{}-of-00002.gguf", no + 1));
        out.save(&path).unwrap();
        path
    })
}

#[test]
fn parts_that_were_joined_by_cat_are_told_from_one_file() {
    let scratch = Scratch::new("joined");
    let [first, second] = split(&scratch);
    let joined = [std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap()].concat();
    let at = std::fs::metadata(&first).unwrap().len();
    let path = scratch.path("model.gguf");
    std::fs::write(&path, &joined).unwrap();
    assert_contains(&refusal(&path), &[&format!("another GGUF file from byte {at} on"), "joined by `cat`", "llama-gguf-split --merge"]);
    // Also under the first part's own name.
    std::fs::write(&first, &joined).unwrap();
    assert_contains(&refusal(&first), &["joined by `cat`"]);

    let shard = |name: &str, tensor: &str| {
        let path = scratch.path(name);
        save_safetensors(&path, &[(tensor.to_owned(), HostTensor::f32([2], vec![1.0, 2.0]))], HashMap::new()).unwrap();
        std::fs::read(path).unwrap()
    };
    let joined = [shard("a.safetensors", "a"), shard("b.safetensors", "b")].concat();
    let error = Safetensors::from_bytes("joined.safetensors", joined).unwrap_err().to_string();
    assert_contains(&error, &["another safetensors file from byte", "joined by `cat`", "index.json"]);
}

#[test]
fn a_folder_that_is_no_model_says_what_it_holds() {
    let scratch = Scratch::new("folders");
    let folder = |name: &str, files: &[&str]| {
        let path = scratch.path(name);
        std::fs::create_dir_all(&path).unwrap();
        for file in files {
            std::fs::write(path.join(file), "{}").unwrap();
        }
        path
    };
    let config = json!({ "model_type": "llama" }).to_string();
    let with_config = |name: &str, files: &[&str]| {
        let path = folder(name, files);
        std::fs::write(path.join("config.json"), &config).unwrap();
        path
    };
    let cases = [
        (folder("one", &["a.gguf", "README.md", "mmproj-a.gguf"]), &["a folder with a model in GGUF; name the file: `", "one/a.gguf`"][..]),
        (folder("many", &["a.gguf", "b.gguf", "c.gguf"]), &["a folder with 3 models in GGUF", "many/a.gguf` or `", "many/b.gguf`, …"]),
        (
            folder("parts", &["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]),
            &["a folder with a model in GGUF", "m-00001-of-00002.gguf`"],
        ),
        (folder("adapter", &["adapter_config.json", "adapter_model.safetensors"]), &["holds an adapter", "merge it"]),
        (folder("cache", &["snapshots", "refs"]), &["Hugging Face's cache", "`snapshots`"]),
        (folder("empty", &[]), &["has no `config.json`"]),
        (
            with_config("no-index", &["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]),
            &["has 2 shards (`model-00001-of-00002.safetensors`), but no `model.safetensors.index.json`", "download it beside them"],
        ),
        (with_config("torch", &["pytorch_model.bin"]), &["in PyTorch's form (`pytorch_model.bin`)", "safetensors"]),
        (
            with_config("other-name", &["consolidated.safetensors"]),
            &["has `consolidated.safetensors`, but neither `model.safetensors` nor"],
        ),
        (with_config("gguf-beside", &["model.gguf"]), &["has a GGUF file and no safetensors files; name the file, `model.gguf`"]),
        (with_config("none", &[]), &["has neither `model.safetensors` nor"]),
    ];
    for (path, words) in cases {
        let line = refusal(&path);
        assert_contains(&line, words);
        assert_contains(&line, &[path.to_str().unwrap()]);
    }
    let pointer = folder("pointer", &[]);
    std::fs::write(pointer.join("config.json"), "version https://git-lfs.github.com/spec/v1\nsize 700\n").unwrap();
    assert_contains(&refusal(&pointer), &["config.json` is a Git LFS pointer".replace("` is", "`: is").as_str()]);
}

#[test]
fn files_that_go_with_a_model_are_not_run_as_one() {
    let scratch = Scratch::new("beside");
    let save = |name: &str, parts: Parts| parts.save(scratch.path(name));
    let mut vocabulary = Parts::of("tiny-f32");
    vocabulary.tensors.clear();
    let vocabulary = save("vocabulary.gguf", vocabulary);
    let mut adapter = Parts::of("tiny-f32").set("general.type", "adapter").set("adapter.type", "lora").without_key("llama.block_count");
    adapter.tensors.clear();
    let adapter = save("adapter.gguf", adapter.tensor("blk.0.attn_q.weight.lora_a", [4, 32], &[0.0; 128]));
    let projector = |parts: Parts| {
        let mut parts = parts.set("general.architecture", "eyes");
        parts.tensors.clear();
        parts.tensor("v.blk.0.attn_q.weight", [4, 4], &[0.0; 16]).tensor("mm.0.weight", [4, 4], &[0.0; 16])
    };
    let named = save("mmproj.gguf", projector(Parts::of("tiny-f32").set("general.type", "mmproj")));
    let unnamed = save("older-mmproj.gguf", projector(Parts::of("tiny-f32").without_key("general.type")));
    let matrix = save("imatrix.gguf", Parts::of("tiny-f32").set("general.type", "imatrix"));
    for (path, words, shown) in [
        (&vocabulary, &["holds a vocabulary and no weights", "tl tokenize"][..], "architecture   llama"),
        (&adapter, &["is an adapter (lora) for a model", "merge it"], "architecture   llama"),
        (&named, &["is a projector (mmproj)", "language model beside it"], "architecture   eyes"),
        (&unnamed, &["is a projector (mmproj)"], "architecture   eyes"),
        (&matrix, &["is of the type `imatrix`, not a model"], "architecture   llama"),
    ] {
        assert_contains(&refusal(path), words);
        assert_contains(&inspected(path), &[shown, &format!("cannot run     {}", words[0])]);
    }
    assert!(tl(&["tokenize", vocabulary.to_str().unwrap(), "the"]).status.success());
}

#[test]
fn a_mixture_of_experts_is_named_where_the_program_knows_none() {
    let scratch = Scratch::new("experts");
    let experts = |parts: Parts| parts.set("llama.expert_count", 4u32).set("llama.expert_used_count", 2u32);
    let mut instead = experts(Parts::of("tiny-f32"));
    instead.tensors.retain(|(name, ..)| !name.contains(".ffn_gate") && !name.contains(".ffn_up") && !name.contains(".ffn_down"));
    let instead = instead.vectors("blk.*.ffn_gate_exps.weight", 2, 64, 0.0);
    let beside = experts(Parts::of("tiny-f32")).vectors("blk.*.ffn_gate_exps.weight", 2, 64, 0.0);
    for (name, parts) in [("instead", instead), ("beside", beside)] {
        let path = parts.save(scratch.path(&format!("{name}.gguf")));
        assert_contains(&refusal(&path), &["is a mixture of 4 experts, which std/llama.tl does not compute", "--arch FILE.tl"]);
        assert_contains(&inspected(&path), &["architecture   llama", "cannot run     is a mixture of 4 experts"]);
    }
    let none = experts(Parts::of("tiny-f32")).save(scratch.path("none.gguf"));
    assert_contains(&refusal(&none), &["says that it has 4 experts and holds none of their tensors"]);
    let unknown = Parts::of("tiny-f32").set("general.architecture", "abacus").set("abacus.expert_count", 4u32);
    let unknown = unknown.save(scratch.path("unknown.gguf"));
    assert_contains(&refusal(&unknown), &["is a mixture of 4 experts, which no program here computes", "architecture `abacus` is unknown"]);
}

#[test]
fn inspect_shows_the_architecture_of_files_that_cannot_run() {
    let scratch = Scratch::new("inspected");
    let unknown = Parts::of("tiny-f32").set("general.architecture", "abacus").save(scratch.path("unknown.gguf"));
    assert_contains(&inspected(&unknown), &["architecture   abacus", "cannot run     architecture `abacus` is unknown"]);
    let keyless = Parts::of("tiny-f32").without_key("llama.embedding_length").save(scratch.path("keyless.gguf"));
    assert_contains(
        &inspected(&keyless),
        &["architecture   llama", "layers         2", "cannot run     metadata `llama.embedding_length` is missing"],
    );
    let nameless = Parts::of("tiny-f32").without_key("general.architecture").save(scratch.path("nameless.gguf"));
    assert_contains(&inspected(&nameless), &["architecture   not named (general.architecture)"]);

    // Tensors of a type that nothing reads, and a part whose other parts are missing.
    let mut bytes = Parts::of("tiny-f32").bytes();
    let name = b"blk.1.ffn_up.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 4 + 2 * 8;
    bytes[at..at + 4].copy_from_slice(&99u32.to_le_bytes());
    let typed = scratch.path("typed.gguf");
    std::fs::write(&typed, bytes).unwrap();
    let [first, second] = split(&scratch);
    std::fs::remove_file(second).unwrap();
    for (path, words) in [(&typed, "element type 99"), (&first, "has 2 parts")] {
        let run = tl(&["inspect", path.to_str().unwrap()]);
        assert_eq!(run.status.code(), Some(1));
        assert_contains(&String::from_utf8(run.stdout).unwrap(), &["architecture   llama", "layers         2", "vocabulary     307"]);
        assert_contains(&String::from_utf8(run.stderr).unwrap(), &["error: ", words]);
    }
}

#[test]
fn a_folder_without_a_tokenizer_says_which_file_it_lacks() {
    let scratch = Scratch::new("no-tokenizer-json");
    let config = json!({
        "model_type": "llama", "hidden_size": 4, "num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1,
        "rms_norm_eps": 1e-5, "vocab_size": 3, "intermediate_size": 4
    });
    std::fs::write(scratch.path("config.json"), config.to_string()).unwrap();
    let matrix = |name: &str, rows: usize| (name.to_owned(), HostTensor::f32([rows, 4], vec![0.5; rows * 4]));
    let vector = |name: &str| (name.to_owned(), HostTensor::f32([4], vec![1.0; 4]));
    let mut tensors = vec![matrix("model.embed_tokens.weight", 3), vector("model.norm.weight"), matrix("lm_head.weight", 3)];
    for part in
        ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    {
        tensors.push(matrix(&format!("model.layers.0.{part}.weight"), 4));
    }
    tensors.extend(["input_layernorm", "post_attention_layernorm"].map(|norm| vector(&format!("model.layers.0.{norm}.weight"))));
    save_safetensors(&scratch.path("model.safetensors"), &tensors, HashMap::new()).unwrap();
    let folder = scratch.path("");
    let model = folder.to_str().unwrap();
    let by_ids = tl(&["generate", model, "--backend", "cpu", "--tokens", "1,2", "--max-tokens", "1"]);
    assert!(by_ids.status.success(), "{}", String::from_utf8_lossy(&by_ids.stderr));
    let said = |args: &[&str]| String::from_utf8(tl(args).stderr).unwrap();
    let words = [model, "has no `tokenizer.json`", "--tokens"];
    assert_contains(&said(&["generate", model, "--backend", "cpu", "--prompt", "the"]), &words);
    assert_contains(&said(&["chat", model, "--backend", "cpu", "--prompt", "the"]), &words);
    std::fs::write(scratch.path("tokenizer.model"), "x").unwrap();
    assert_contains(&said(&["tokenize", model, "the"]), &["its `tokenizer.model` is another form"]);
    std::fs::write(scratch.path("tokenizer.json"), "version https://git-lfs.github.com/spec/v1\nsize 9085657\n").unwrap();
    assert_contains(&said(&["tokenize", model, "the"]), &["tokenizer.json", "a Git LFS pointer to a file of 9085657 bytes"]);

    // Weights whose type is not read are tensors that no step uses.
    let header = r#"{"model.layers.0.strange":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
    std::fs::write(scratch.path("other.safetensors"), [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat())
        .unwrap();
    let mut map: serde_json::Map<String, serde_json::Value> =
        tensors.iter().map(|(name, _)| (name.clone(), "model.safetensors".into())).collect();
    map.insert("model.layers.0.strange".into(), "other.safetensors".into());
    std::fs::write(scratch.path("model.safetensors.index.json"), json!({ "weight_map": map }).to_string()).unwrap();
    assert_contains(&refusal(&folder), &["does not use 1 of", "`model.layers.0.strange`"]);
}

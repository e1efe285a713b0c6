//! The safetensors reader and writer, and Hugging Face folders made with them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod scratch;

use std::collections::HashMap;
use std::path::Path;

use scratch::{Scratch, assert_contains, one_line};
use serde_json::{Value, json};
use tensorlogic::format::hf::{gguf_name, metadata_from_json};
use tensorlogic::format::{ModelFile, Safetensors, save_safetensors};
use tensorlogic::tensor::{DType, HostData, HostTensor};

#[test]
fn what_is_written_is_read() {
    let f16 = HostTensor { dtype: DType::F16, ..HostTensor::f32([3], vec![1.0, -0.5, 65504.0]) };
    let bf16 = HostTensor { dtype: DType::BF16, ..HostTensor::f32([1, 2], vec![1.0, -3.0]) };
    let tensors: Vec<(String, HostTensor)> = [
        ("flags", HostTensor::bool([3], vec![true, false, true])),
        ("half", f16),
        ("ids", HostTensor::i32([2, 2], vec![1, -2, 3, i32::MIN])),
        ("brain", bf16),
        ("values", HostTensor::f32([2, 3], vec![0.0, -0.0, f32::MIN_POSITIVE, f32::MAX, 1e-42, -1.0])),
        ("scalar", HostTensor::f32([], vec![7.0])),
        ("empty", HostTensor::f32([0, 4], vec![])),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into();
    let folder = Scratch::new("safetensors-round-trip");
    let path = folder.path("all.safetensors");
    save_safetensors(&path, &tensors, HashMap::from([("by".to_owned(), "a test".to_owned())])).unwrap();
    for no_mmap in [false, true] {
        let read = Safetensors::open(&path, no_mmap).unwrap();
        assert_eq!(read.metadata["by"], "a test");
        for (name, tensor) in &tensors {
            assert_eq!(&read.host(name).unwrap(), tensor, "{name}");
            let info = read.tensors.get(name).unwrap();
            assert!(info.offset.is_multiple_of(info.dtype.block_bytes()), "{name} is at {}", info.offset);
        }
        assert!(read.host("absent").is_none());
    }
    let bytes = std::fs::read(&path).unwrap();
    let crate_view = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(crate_view.tensor("ids").unwrap().shape(), [2, 2], "the crate reads what is written");
}

#[test]
fn each_fault_is_one_line() {
    let check = |bytes: Vec<u8>, words: &[&str]| assert_contains(&one_line(Safetensors::from_bytes("bad.safetensors", bytes)), words);
    check(vec![1, 2, 3], &["bad.safetensors", "3 bytes"]);
    check((1u64 << 60).to_le_bytes().to_vec(), &["1152921504606846976"]);
    check(100u64.to_le_bytes().to_vec(), &["100 bytes", "has 8"]);
    check(file("not json", 0), &["header"]);
    check(file(&"[".repeat(100_000), 0), &["header"]);
    let entry = |shape: &str, start: u64, end: u64| format!(r#"{{"t":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}}}"#);
    check(file(&entry("[2]", 0, 8), 4), &["4 bytes of data", "says 8"]);
    check(file(&entry("[2]", 0, 8), 12), &["12 bytes of data", "says 8"]);
    check(file(&entry("[3]", 0, 8), 8), &["tensor"]);
    check(file(&entry("[2]", 4, 12), 12), &["`t`"]);
    check(file(&entry("[4294967296,4294967296]", 0, 8), 8), &["overflow"]);
    check(file(&entry("[0,4294967296,4294967296]", 0, 0), 0), &["`t`", "[0, 4294967296, 4294967296]"]);
    check(file(&entry(&format!("[{}1]", "1,".repeat(40)), 0, 4), 4), &["`t`", "41 dimensions"]);
    check(file(r#"{"a\nb":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#, 4), &["F99"]);
    // Four ends of 2^62 bytes add up past 64 bits, which the header's own length must not carry into range.
    let huge: Vec<String> = (0..4).map(|i| entry_at("u", i, 1 << 62)).collect();
    check(file(&format!("{{{}}}", huge.join(",")), 0), &["header"]);
    let near: Vec<String> = (0..15).map(|i| entry_at("n", i, 1 << 60)).collect();
    check(file(&format!("{{{}}}", near.join(",")), 0), &["0 bytes of data", "17293822569102704640"]);
}

#[test]
fn a_folder_is_a_model_under_gguf_names() {
    for shards in [false, true] {
        let folder = hf_folder("hf-model", &config(), shards);
        for path in [folder.path(""), folder.path(if shards { "model-00002-of-00002.safetensors" } else { "model.safetensors" })] {
            let model = ModelFile::open(&path, false).unwrap();
            let metadata = model.metadata();
            assert_eq!(metadata.str("general.architecture"), Some("qwen2"));
            assert_eq!(metadata.str("tl.rope_order"), Some("neox"));
            assert_eq!(metadata.u64("qwen2.attention.head_count_kv"), Some(2));
            assert_eq!(metadata.str("tokenizer.chat_template"), Some("{{ messages }}"));
            assert_eq!(model.tensors().get("blk.0.attn_q.weight").unwrap().shape.dims(), [4, 2]);
            assert_eq!(model.data("blk.0.attn_q.bias").unwrap(), 3f32.to_le_bytes().repeat(4));
            assert_eq!(model.data("token_embd.weight").unwrap(), 1f32.to_le_bytes().repeat(6));
            assert!(model.tensors().get("output.weight").is_none(), "the embedding is tied");
            assert!(model.tensors().tensors().iter().all(|t| !t.name.contains("inv_freq")));
            assert_eq!(model.tokenizer_json(), Some(folder.path("tokenizer.json").as_path()));
        }
    }
}

#[test]
fn a_broken_folder_is_one_line() {
    let open = |folder: &Scratch| one_line(ModelFile::open(&folder.path(""), false));
    let folder = hf_folder("hf-broken", &config(), true);
    let index = folder.path("model.safetensors.index.json");
    let write_index = |map: Value| std::fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    write_index(json!({ "x": "../secret.safetensors" }));
    assert_contains(&open(&folder), &["`x`", "../secret.safetensors", "plain file name"]);
    write_index(json!({ "x": "/etc/passwd" }));
    assert_contains(&open(&folder), &["/etc/passwd"]);
    write_index(json!({ "x": 3 }));
    assert_contains(&open(&folder), &["`x`"]);
    write_index(json!({}));
    assert_contains(&open(&folder), &["0 shards"]);
    write_index(json!({ "x": "model-00001-of-00002.safetensors" }));
    assert_contains(&open(&folder), &["`x`", "model-00001-of-00002.safetensors"]);
    write_index(json!({ "x": "absent.safetensors" }));
    assert_contains(&open(&folder), &["cannot open", "absent.safetensors"]);
    std::fs::write(&index, "{}").unwrap();
    assert_contains(&open(&folder), &["weight_map"]);
    std::fs::remove_file(&index).unwrap();
    assert_contains(&open(&folder), &["model.safetensors"]);
    std::fs::write(folder.path("config.json"), "{").unwrap();
    assert_contains(&open(&folder), &["config.json", "not JSON"]);
    std::fs::remove_file(folder.path("config.json")).unwrap();
    assert_contains(&open(&folder), &["config.json"]);
    assert_contains(&one_line(ModelFile::open(&folder.path("model-00001-of-00002.safetensors"), false)), &["config.json"]);

    let folder = hf_folder("hf-f8", &config(), false);
    let header = r#"{"model.norm.weight":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#;
    std::fs::write(folder.path("model.safetensors"), file(header, 4)).unwrap();
    assert_contains(&open(&folder), &["model.norm.weight", "F8_E4M3"]);
}

#[test]
fn configurations_become_metadata() {
    let read = |config: Value| metadata_from_json(config.to_string().as_bytes(), None, None);
    let llama = read(json!({
        "model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32,
        "intermediate_size": 14336, "vocab_size": 128256, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 131072,
        "rope_scaling": { "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192 },
        "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "head_dim": null, "sliding_window": null
    }))
    .unwrap();
    assert_eq!(llama.u64("llama.attention.key_length"), Some(128));
    assert_eq!(llama.u64("llama.rope.dimension_count"), Some(128));
    assert_eq!(llama.f64("llama.rope.freq_base"), Some(5e5));
    assert_eq!(llama.f64("llama.attention.layer_norm_rms_epsilon"), Some(1e-5));
    assert_eq!(llama.str("llama.rope.scaling.type"), Some("llama3"));
    assert_eq!(llama.f64("llama.rope.scaling.high_freq_factor"), Some(4.0));
    assert_eq!(llama.u64("llama.rope.scaling.original_context_length"), Some(8192));
    assert_eq!(llama.u64("tokenizer.ggml.eos_token_id"), Some(128001));
    assert_eq!(llama.array("tl.eos_token_ids").unwrap().ints().unwrap().collect::<Vec<_>>(), [128001, 128008, 128009]);
    assert!(llama.get("llama.attention.sliding_window").is_none());

    let mistral = read(json!({ "model_type": "mistral", "sliding_window": 4096, "hidden_act": "silu" })).unwrap();
    assert_eq!((mistral.str("general.architecture"), mistral.u64("llama.attention.sliding_window")), (Some("llama"), Some(4096)));
    let qwen2 = read(json!({ "model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": false })).unwrap();
    assert!(qwen2.get("qwen2.attention.sliding_window").is_none());
    let qwen3 = read(json!({ "model_type": "qwen3", "hidden_size": 1024, "num_attention_heads": 16, "head_dim": 128 })).unwrap();
    assert_eq!((qwen3.u64("qwen3.attention.key_length"), qwen3.u64("qwen3.attention.head_count_kv")), (Some(128), Some(16)));
    let newer = read(json!({ "model_type": "qwen3", "rope_parameters": { "rope_type": "default", "rope_theta": 1e6 } })).unwrap();
    assert_eq!(newer.f64("qwen3.rope.freq_base"), Some(1e6));
    assert!(newer.get("qwen3.rope.scaling.type").is_none());

    let generation = br#"{"temperature": 0.6, "top_k": 20, "eos_token_id": 7}"#;
    let tokenizer = br#"{"bos_token": {"content": "<s>"}, "add_bos_token": true, "chat_template": [{"name": "tool", "template": "T"}, {"name": "default", "template": "D"}]}"#;
    let full = metadata_from_json(br#"{"model_type": "llama", "eos_token_id": 2}"#, Some(generation), Some(tokenizer)).unwrap();
    assert_eq!((full.f64("general.sampling.temp"), full.u64("general.sampling.top_k")), (Some(0.6), Some(20)));
    assert_eq!((full.u64("tokenizer.ggml.eos_token_id"), full.str("tl.bos_token")), (Some(7), Some("<s>")));
    assert_eq!((full.bool("tokenizer.ggml.add_bos_token"), full.str("tokenizer.chat_template")), (Some(true), Some("D")));

    for (config, words) in [
        (json!({}), ["model_type", "config.json"]),
        (json!({ "model_type": "llama", "hidden_size": -4 }), ["hidden_size", "-4"]),
        (json!({ "model_type": "llama", "hidden_size": "big" }), ["hidden_size", "big"]),
        (json!({ "model_type": "llama", "hidden_act": "gelu" }), ["gelu", "silu"]),
        (json!({ "model_type": "llama", "quantization_config": { "quant_method": "awq" } }), ["awq", "GGUF"]),
    ] {
        assert_contains(&one_line(read(config)), &words);
    }
}

#[test]
fn names_follow_gguf() {
    for (hf, gguf) in [
        ("model.layers.11.self_attn.o_proj.weight", "blk.11.attn_output.weight"),
        ("model.layers.0.self_attn.k_proj.bias", "blk.0.attn_k.bias"),
        ("model.layers.0.self_attn.q_norm.weight", "blk.0.attn_q_norm.weight"),
        ("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.norm.weight", "output_norm.weight"),
        ("lm_head.weight", "output.weight"),
        ("model.layers.0.mystery.weight", "model.layers.0.mystery.weight"),
        ("model.layers.x.mlp.up_proj.weight", "model.layers.x.mlp.up_proj.weight"),
    ] {
        assert_eq!(gguf_name("llama", hf).as_deref(), Some(gguf));
    }
    assert_eq!(gguf_name("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"), None);
    assert_eq!(gguf_name("olmo2", "model.layers.0.post_attention_layernorm.weight").as_deref(), Some("blk.0.post_attention_norm.weight"));
    assert_eq!(gguf_name("unheard", "model.layers.0.self_attn.o_proj.weight").as_deref(), Some("blk.0.attn_output.weight"));
}

#[test]
fn the_reference_folder_reads() {
    let Ok(folder) = std::env::var("TL_REFERENCE") else {
        println!("skipped: TL_REFERENCE is not set");
        return;
    };
    let read = Safetensors::open(&Path::new(&folder).join("expected/synthetic-f32.safetensors"), false).unwrap();
    assert_eq!(read.host("exact.logits").unwrap().shape.dims(), [48, 512]);
    assert_eq!(read.host("tokens").unwrap().as_i32().unwrap().len(), 48);
}

fn config() -> Value {
    json!({ "model_type": "qwen2", "hidden_size": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true })
}

/// A folder with one layer's worth of tensors, in one file or in two.
fn hf_folder(name: &str, config: &Value, shards: bool) -> Scratch {
    let folder = Scratch::new(&format!("{name}-{shards}"));
    std::fs::write(folder.path("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.path("tokenizer.json"), "{}").unwrap();
    std::fs::write(folder.path("tokenizer_config.json"), json!({ "chat_template": "{{ messages }}" }).to_string()).unwrap();
    let tensor = |name: &str, shape: &[usize], value: f32| {
        let data = HostData::F32(vec![value; shape.iter().product()]);
        (name.to_owned(), HostTensor { shape: shape.into(), dtype: DType::F32, data })
    };
    let tensors = [
        tensor("model.embed_tokens.weight", &[3, 2], 1.0),
        tensor("model.layers.0.self_attn.q_proj.weight", &[4, 2], 2.0),
        tensor("model.layers.0.self_attn.q_proj.bias", &[4], 3.0),
        tensor("model.layers.0.self_attn.rotary_emb.inv_freq", &[1], 4.0),
        tensor("lm_head.weight", &[3, 2], 5.0),
    ];
    let save = |file: &str, tensors: &[(String, HostTensor)]| save_safetensors(&folder.path(file), tensors, HashMap::new()).unwrap();
    if !shards {
        save("model.safetensors", &tensors);
        return folder;
    }
    let mut map = serde_json::Map::new();
    for (i, tensors) in tensors.chunks(3).enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", i + 1);
        save(&file, tensors);
        map.extend(tensors.iter().map(|(name, _)| (name.clone(), file.clone().into())));
    }
    std::fs::write(folder.path("model.safetensors.index.json"), json!({ "weight_map": map }).to_string()).unwrap();
    folder
}

fn file(header: &str, data_bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data_bytes]].concat()
}

fn entry_at(name: &str, i: u64, bytes: u64) -> String {
    let (start, end) = (u128::from(i * bytes), (u128::from(i) + 1) * u128::from(bytes));
    format!(r#""{name}{i}":{{"dtype":"F32","shape":[{}],"data_offsets":[{start},{end}]}}"#, bytes / 4)
}

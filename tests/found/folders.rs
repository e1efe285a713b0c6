//! Hugging Face folders of every family that is read: each is made from a GGUF file, names and all undone, and must give that file's logits.
//! What is not computed is refused by its name.

mod families;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tensorlogic::format::hf::metadata_from_json;
use tensorlogic::format::{ModelFile, save_safetensors};
use tensorlogic::tensor::HostTensor;

use crate::scratch::{Scratch, assert_contains, one_line};
use crate::support::programs::Mode;
use families::{Family, families, family};

/// The largest difference of a logit over the largest logit: rounding to f32, where rows are summed in another order.
const BOUND: f32 = 5e-6;

/// Longer than the windows.
const TOKENS: [i32; 12] = [1, 40, 77, 266, 12, 5, 90, 81, 150, 33, 264, 7];

/// The modules that most families have: GGUF's name, and the folder's.
const MODULES: [(&str, &str); 14] = [
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Writes the folder that a family's GGUF file was converted from.
fn folder(family: &Family, path: PathBuf) -> PathBuf {
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("config.json"), family.config.to_string()).unwrap();
    let tensor = |(name, shape, ..): &(String, tensorlogic::tensor::Shape, _, _)| {
        let mut values = family.gguf.values(name);
        if family.plus_one && name.ends_with("norm.weight") {
            values.iter_mut().for_each(|v| *v -= 1.0);
        }
        if family.pairs_neighbours && (name.contains("attn_q.") || name.contains("attn_k.")) {
            values = halves_of_heads(&values, shape.dims()[0], family.config["head_dim"].as_u64().unwrap() as usize);
        }
        (hf_name(family, name), HostTensor::f32(shape.dims().to_vec(), values))
    };
    let tensors: Vec<(String, HostTensor)> = family.gguf.tensors.iter().map(tensor).collect();
    save_safetensors(&path.join("model.safetensors"), &tensors, HashMap::new()).unwrap();
    path
}

fn hf_name(family: &Family, gguf: &str) -> String {
    let (module, kind) = gguf.rsplit_once('.').unwrap();
    let (layer, module) = match module.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((layer, module)) => (format!("model.layers.{layer}."), module),
        None => (String::new(), module),
    };
    let name = family.names.iter().chain(&MODULES).find(|(gguf, _)| *gguf == module).unwrap_or_else(|| panic!("no name of {gguf}")).1;
    format!("{layer}{name}.{kind}")
}

/// Rows whose neighbours turn together, as rows in which row d of a head turns with row d + D/2.
fn halves_of_heads(values: &[f32], n_rows: usize, head_size: usize) -> Vec<f32> {
    let row_len = values.len() / n_rows;
    let from = |row: usize| {
        let (head, d) = (row / head_size, row % head_size);
        head * head_size + if d < head_size / 2 { 2 * d } else { 2 * (d - head_size / 2) + 1 }
    };
    (0..n_rows).flat_map(|row| &values[from(row) * row_len..][..row_len]).copied().collect()
}

fn logits(model: &Path) -> Result<Vec<f32>, String> {
    Mode::precise(false).logits(model, &TOKENS, TOKENS.len())
}

/// The largest difference over the largest value.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0f32, |m, v| m.max(v.abs()));
    // A NaN must not be lost in a maximum.
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / largest).fold(0f32, |m, d| if d.is_nan() || d > m { d } else { m })
}

#[test]
fn a_folder_of_every_family_gives_the_logits_of_its_gguf_file() {
    let scratch = Scratch::new("folders");
    let mut wrong = Vec::new();
    for family in families() {
        let name = family.config["model_type"].as_str().unwrap();
        let expected = logits(&family.gguf.save(scratch.path(&format!("{name}.gguf")))).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = logits(&folder(&family, scratch.path(name)));
        match found.map(|found| apart(&found, &expected)) {
            Ok(error) if error <= BOUND => println!("{name:<18} {error:.1e}"),
            Ok(error) => wrong.push(format!("{name}: {error:.1e} of the largest")),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_model_type_without_a_table_is_refused_and_looked_into() {
    let scratch = Scratch::new("unknown-folders");
    let made = |model_type: &str| {
        let mut llama = family("llama");
        llama.config["model_type"] = model_type.into();
        folder(&llama, scratch.path(model_type))
    };
    let convert = "convert_hf_to_gguf.py";
    assert_contains(&one_line(logits(&made("falcon"))), &["folders of the model type `falcon` are not read", convert, "--arch"]);
    assert_contains(&one_line(logits(&made("unheard"))), &["`unheard` are not read, known are arcee, cohere, ", convert, "--arch"]);

    let inspect = Command::new(env!("CARGO_BIN_EXE_tl")).arg("inspect").arg(scratch.path("falcon")).output().unwrap();
    let shown = String::from_utf8(inspect.stdout).unwrap();
    assert!(inspect.status.success(), "{shown}");
    assert_contains(&shown, &["architecture   falcon", "layers         2", "cannot run     folders of the model type `falcon`", convert]);

    // A program of the user's own takes it under GGUF's names.
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lang/std/llama.tl");
    let expected = logits(&family("llama").gguf.save(scratch.path("llama.gguf"))).unwrap();
    let found = Mode::precise(false).with_arch(&program).logits(&scratch.path("unheard"), &TOKENS, TOKENS.len()).unwrap();
    assert!(apart(&found, &expected) <= BOUND);
}

#[test]
fn what_the_programs_do_not_compute_is_refused_by_key_and_value() {
    let scratch = Scratch::new("needs");
    let full = |n: usize| json!(vec!["full_attention"; n]);
    let cases: [(&str, &str, Value, &[&str]); 12] = [
        ("llama", "hidden_act", json!("gelu"), &["`hidden_act` \"gelu\"", "\"silu\""]),
        ("cohere", "use_qk_norm", json!(true), &["`use_qk_norm` true", "false"]),
        ("phi", "qk_layernorm", json!(true), &["`qk_layernorm` true"]),
        ("stablelm", "qk_layernorm", json!(true), &["`qk_layernorm` true"]),
        ("smollm3", "no_rope_layer_interval", json!(3), &["`no_rope_layer_interval` 3", "4"]),
        ("smollm3", "no_rope_layers", json!([1, 0, 1, 0]), &["`no_rope_layers[1]` 0", "[1, 1, 1, 0], repeated"]),
        ("gemma3_text", "final_logit_softcapping", json!(30.0), &["`final_logit_softcapping` 30.0", "null"]),
        ("gemma3_text", "use_bidirectional_attention", json!(true), &["`use_bidirectional_attention` true"]),
        ("gemma3_text", "layer_types", full(7), &["`layer_types[0]` \"full_attention\""]),
        ("cohere2", "layer_types", full(4), &["`layer_types[0]` \"full_attention\"", ", repeated"]),
        ("ministral3", "sliding_window", json!(4), &["`sliding_window` 4"]),
        ("exaone4", "sliding_window_pattern", json!("LG"), &["`sliding_window_pattern` \"LG\"", "\"LLLG\""]),
    ];
    for (model_type, key, value, words) in cases {
        let mut family = family(model_type);
        family.config[key] = value;
        let path = folder(&family, scratch.path(&format!("{model_type}-{key}")));
        let error = one_line(logits(&path));
        assert_contains(&error, &[&path.display().to_string(), &format!("folders of `{model_type}`"), "--arch FILE.tl"]);
        assert_contains(&error, words);
        assert!(ModelFile::open(&path, false).is_ok(), "a refused folder can still be looked into");
    }
}

#[test]
fn a_tensor_of_a_folder_that_no_rule_names_is_refused() {
    let scratch = Scratch::new("unnamed");
    let mut granite = family("granite");
    granite.gguf = granite.gguf.tensor("blk.0.extra.weight", [32], &[1.0; 32]);
    granite.names.push(("extra", "self_attn.extra"));
    assert_contains(&one_line(logits(&folder(&granite, scratch.path("granite")))), &["`model.layers.0.self_attn.extra.weight`"]);
}

#[test]
fn a_norm_that_1_cannot_be_added_to_is_refused() {
    let scratch = Scratch::new("norms");
    let path = folder(&family("gemma"), scratch.path("gemma"));
    let norm = |values: HostTensor| {
        save_safetensors(&path.join("model.safetensors"), &[("model.norm.weight".to_owned(), values)], HashMap::new()).unwrap();
        one_line(ModelFile::open(&path, false))
    };
    assert_contains(&norm(HostTensor::i32([32], vec![1; 32])), &["`output_norm.weight` is i32, not floats"]);
    let n = (1 << 20) + 1;
    assert_contains(&norm(HostTensor::f32([n], vec![0.0; n])), &["`output_norm.weight` has 1048577 values"]);
}

#[test]
fn configurations_of_both_forms_of_transformers_are_read() {
    let read = |config: Value| metadata_from_json(config.to_string().as_bytes(), None, None).unwrap();
    // Gemma 3 before `rope_parameters`: little is said, and the class knows the rest.
    let gemma3 = read(json!({
        "model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34, "intermediate_size": 10240, "sliding_window": 1024,
        "rope_local_base_freq": 20000.0, "rope_scaling": { "rope_type": "linear", "factor": 8.0 }
    }));
    assert_eq!((gemma3.f64("gemma3.rope.freq_base"), gemma3.f64("gemma3.rope.freq_base_swa")), (Some(1e6), Some(2e4)));
    assert_eq!((gemma3.u64("gemma3.attention.key_length"), gemma3.u64("gemma3.attention.head_count_kv")), (Some(256), Some(4)));
    assert_eq!(gemma3.f64("gemma3.attention.query_pre_attn_scalar"), Some(256.0));
    assert_eq!((gemma3.str("gemma3.rope.scaling.type"), gemma3.str("tl.rope_order")), (Some("linear"), None));

    let olmo3 = read(json!({ "model_type": "olmo3", "num_hidden_layers": 5, "rope_theta": 3e5 }));
    let windows = olmo3.array("olmo2.attention.sliding_window_pattern").unwrap().bools().unwrap().collect::<Vec<_>>();
    assert_eq!((windows, olmo3.f64("olmo2.rope.freq_base")), (vec![true, true, true, false, true], Some(3e5)));

    // A fixed alpha stretches the base and nothing else: 10000 * 1000^(128 / 126).
    let alpha = json!({ "type": "dynamic", "alpha": 1000.0, "factor": 1.0 });
    let hunyuan = read(json!({ "model_type": "hunyuan_v1_dense", "head_dim": 128, "rope_theta": 10000.0, "rope_scaling": alpha }));
    assert!((hunyuan.f64("hunyuan-dense.rope.freq_base").unwrap() / 11_158_839.92 - 1.0).abs() < 1e-6, "{hunyuan:?}");
    assert_eq!(hunyuan.get("hunyuan-dense.rope.scaling.type"), None);

    let glm = read(json!({ "model_type": "glm4", "head_dim": 128 }));
    assert_eq!(glm.u64("glm4.rope.dimension_count"), Some(64), "half of a head, where the file does not say");
    let stablelm = read(json!({ "model_type": "stablelm", "use_parallel_residual": true }));
    assert_eq!(stablelm.bool("stablelm.use_parallel_residual"), Some(true));
}

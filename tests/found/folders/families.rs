//! A small GGUF file of each family, with the `config.json` of the folder that it would have been converted from. The weights are those of
//! fixtures: what they compute is held to float64 elsewhere, here a folder is held to the GGUF file.

use serde_json::{Value, json};
use tensorlogic::format::MetadataArray;
use tensorlogic::tensor::{DType, Shape};

use crate::support::fixture;
use crate::support::parts::Parts;

/// One family.
pub struct Family {
    pub gguf: Parts,
    pub config: Value,
    /// GGUF's and the folder's names of modules that are not those of most families.
    pub names: Vec<(&'static str, &'static str)>,
    /// Whether GGUF has added 1 to the weights of norms.
    pub plus_one: bool,
    /// Whether GGUF has put the rows of queries and keys that turn together beside each other.
    pub pairs_neighbours: bool,
}

impl Family {
    fn of(gguf: Parts, config: Value) -> Family {
        Family { gguf, config, names: Vec::new(), plus_one: false, pairs_neighbours: false }
    }

    fn named(self, names: &[(&'static str, &'static str)]) -> Family {
        Family { names: names.to_vec(), ..self }
    }

    fn plus_one(self) -> Family {
        Family { plus_one: true, ..self }
    }

    fn pairs_neighbours(self) -> Family {
        Family { pairs_neighbours: true, ..self }
    }
}

pub fn family(model_type: &str) -> Family {
    families().into_iter().find(|f| f.config["model_type"] == model_type).unwrap()
}

/// Norms after the branches instead of before them.
const AFTER: [(&str, &str); 2] = [("post_attention_norm", "post_attention_layernorm"), ("post_ffw_norm", "post_feedforward_layernorm")];

const HEAD_NORMS: [&str; 2] = ["attn_q_norm", "attn_k_norm"];

/// Every family whose folders are read.
pub fn families() -> Vec<Family> {
    let silu = |model_type: &str, more: Value| config(model_type, "silu", more);
    let windows = json!(["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]);
    let half = json!({ "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5 });
    let yarn = json!({ "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 4, "mscale": 1.0,
                       "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.5 });
    let olmo3_rope = json!({
        "full_attention": { "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 32,
                            "attention_factor": 1.2 },
        "sliding_attention": { "rope_type": "default", "rope_theta": 10000.0 }
    });
    vec![
        Family::of(tiny("llama"), silu("llama", json!({}))).pairs_neighbours(),
        Family::of(set(tiny("llama"), "attention.sliding_window", 3u32), silu("mistral", json!({ "sliding_window": 3 }))).pairs_neighbours(),
        Family::of(with_biases(tiny("qwen2"), &["attn_q", "attn_k", "attn_v"]), silu("qwen2", json!({}))),
        Family::of(with_head_norms(tiny("qwen3")), silu("qwen3", json!({}))),
        Family::of(without(tiny("arcee"), "ffn_gate"), config("arcee", "relu2", json!({}))).pairs_neighbours(),
        Family::of(parallel("command-r"), silu("cohere", json!({ "logit_scale": 0.25, "layer_norm_eps": 1e-5 }))),
        Family::of(
            Parts::read(&fixture("families/cohere2-a.gguf")),
            silu("cohere2", json!({ "num_hidden_layers": 4, "intermediate_size": 64, "sliding_window": 8, "layer_types": windows,
                "rope_parameters": { "rope_type": "default", "rope_theta": 50000.0 }, "logit_scale": 0.25, "layer_norm_eps": 1e-5 })),
        ),
        Family::of(tiny("ernie4_5"), silu("ernie4_5", json!({ "use_bias": false }))),
        Family::of(
            with_windows(with_head_norms(norms_after(deeper(tiny("exaone4"))))),
            silu("exaone4", json!({ "num_hidden_layers": 4, "sliding_window": 3, "layer_types": windows })),
        )
        .named(&AFTER),
        Family::of(tiny("gemma"), config("gemma", "gelu_pytorch_tanh", json!({}))).plus_one(),
        Family::of(
            Parts::read(&fixture("families/gemma3-a.gguf")),
            json!({ "model_type": "gemma3_text", "hidden_size": 32, "num_hidden_layers": 7, "num_attention_heads": 4, "num_key_value_heads": 2,
                "head_dim": 16, "intermediate_size": 64, "rms_norm_eps": 1e-6, "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 8,
                "sliding_window_pattern": 6, "query_pre_attn_scalar": 16, "rope_theta": 1e6, "rope_local_base_freq": 1e4 }),
        )
        .named(&[AFTER[0], AFTER[1], ("ffn_norm", "pre_feedforward_layernorm")])
        .plus_one(),
        Family::of(set(fused(tiny("chatglm")), "rope.dimension_count", 4u32), silu("glm", json!({ "rope_parameters": half })))
            .named(&[("ffn_up", "mlp.gate_up_proj")]),
        Family::of(
            set(with_norms(fused(tiny("glm4")), &["post_attention_norm", "post_ffw_norm"], 32), "rope.dimension_count", 4u32),
            silu("glm4", json!({ "partial_rotary_factor": 0.5 })),
        )
        .named(&[
            ("ffn_up", "mlp.gate_up_proj"),
            ("post_attention_norm", "post_self_attn_layernorm"),
            ("post_ffw_norm", "post_mlp_layernorm"),
        ]),
        Family::of(
            set(set(set(set(tiny("granite"), "attention.scale", 0.2f32), "embedding_scale", 12.0f32), "residual_scale", 0.25f32), "logit_scale", 8.0f32),
            silu("granite", json!({ "attention_multiplier": 0.2, "embedding_multiplier": 12.0, "residual_multiplier": 0.25, "logits_scaling": 8.0 })),
        )
        .pairs_neighbours(),
        Family::of(with_head_norms(tiny("hunyuan-dense")), silu("hunyuan_v1_dense", json!({})))
            .named(&[("attn_q_norm", "self_attn.query_layernorm"), ("attn_k_norm", "self_attn.key_layernorm")]),
        Family::of(
            set(scaled(tiny("mistral3"), 4, 1.0), "attention.temperature_scale", 0.5f32),
            silu("ministral3", json!({ "rope_parameters": yarn })),
        )
        .pairs_neighbours(),
        Family::of(
            set(with_biases(layer_normed(without(tiny("nemotron"), "ffn_gate")), &["attn_norm", "ffn_norm", "output_norm"]), "rope.dimension_count", 4u32),
            config("nemotron", "relu2", json!({ "norm_eps": 1e-5, "rope_parameters": half })),
        )
        .plus_one(),
        Family::of(
            set(layer_normed(without(tiny("olmo"), "norm")), "attention.clamp_kqv", 0.5f32),
            silu("olmo", json!({ "clip_qkv": 0.5 })),
        )
        .pairs_neighbours(),
        Family::of(
            Parts::read(&fixture("families/olmo2-a.gguf")),
            silu("olmo2", json!({ "intermediate_size": 64, "rms_norm_eps": 1e-6, "rope_theta": 500000.0, "rope_parameters": null })),
        )
        .named(&AFTER),
        Family::of(
            scaled(with_windows(with_norms(with_norms(norms_after(deeper(tiny("olmo2"))), &["attn_q_norm"], 32), &["attn_k_norm"], 16)), 32, 1.2),
            silu("olmo3", json!({ "num_hidden_layers": 4, "sliding_window": 3, "layer_types": windows, "rope_parameters": olmo3_rope })),
        )
        .named(&AFTER),
        Family::of(
            Parts::read(&fixture("families/phi2-a.gguf")),
            config("phi", "gelu_new", json!({ "num_attention_heads": 2, "head_dim": null, "intermediate_size": 128, "layer_norm_eps": 1e-5 })),
        )
        .named(&[
            ("ffn_up", "mlp.fc1"),
            ("ffn_down", "mlp.fc2"),
            ("attn_output", "self_attn.dense"),
            ("output_norm", "model.final_layernorm"),
        ]),
        Family::of(set(joined(fused(tiny("phi3"))), "attention.sliding_window", 3u32), silu("phi3", json!({ "sliding_window": 3 })))
            .named(&[("ffn_up", "mlp.gate_up_proj"), ("attn_qkv", "self_attn.qkv_proj")]),
        Family::of(
            renamed(with_biases(tiny("seed_oss"), &["attn_q", "attn_k", "attn_v"]), "ffn_norm", "post_attention_norm"),
            silu("seed_oss", json!({})),
        )
        .named(&AFTER[..1]),
        Family::of(
            deeper(tiny("smollm3")),
            silu("smollm3", json!({ "num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0], "use_sliding_window": false })),
        )
        .pairs_neighbours(),
        Family::of(
            set(set(parallel("stablelm"), "use_parallel_residual", true), "rope.dimension_count", 4u32),
            silu("stablelm", json!({ "layer_norm_eps": 1e-5, "use_parallel_residual": true, "rope_parameters": half })),
        ),
        Family::of(
            set(with_biases(layer_normed(without(tiny("starcoder2"), "ffn_gate")), &["attn_norm", "ffn_up", "ffn_down"]), "attention.sliding_window", 3u32),
            config("starcoder2", "gelu_pytorch_tanh", json!({ "norm_epsilon": 1e-5, "sliding_window": 3 })),
        )
        .named(&[("ffn_up", "mlp.c_fc"), ("ffn_down", "mlp.c_proj")]),
    ]
}

/// The `config.json` of `tiny`, with `more`.
fn config(model_type: &str, activation: &str, more: Value) -> Value {
    let mut config = json!({
        "model_type": model_type, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "intermediate_size": 72, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": activation,
        "rope_parameters": { "rope_type": "default", "rope_theta": 10000.0 }
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

/// The tensors and numbers of tiny-f32 under another architecture.
fn tiny(architecture: &str) -> Parts {
    let mut parts = Parts::of("tiny-f32").set("general.architecture", architecture);
    for (key, _) in &mut parts.metadata {
        if let Some(rest) = key.strip_prefix("llama.") {
            *key = format!("{architecture}.{rest}");
        }
    }
    parts
}

fn architecture(parts: &Parts) -> String {
    let value = parts.metadata.iter().find(|(key, _)| key == "general.architecture").unwrap();
    value.1.as_str().unwrap().to_owned()
}

/// With a key of the architecture.
fn set(parts: Parts, key: &str, value: impl Into<tensorlogic::format::MetadataValue>) -> Parts {
    let key = format!("{}.{key}", architecture(&parts));
    parts.set(&key, value)
}

fn layer_normed(parts: Parts) -> Parts {
    set(parts, "attention.layer_norm_epsilon", 1e-5f32)
}

/// Without the tensors of a module.
fn without(mut parts: Parts, module: &str) -> Parts {
    parts.tensors.retain(|(name, ..)| !name.contains(module));
    parts
}

fn renamed(mut parts: Parts, from: &str, to: &str) -> Parts {
    parts.tensors.iter_mut().for_each(|(name, ..)| *name = name.replace(from, to));
    parts
}

/// Both branches on one layer norm.
fn parallel(architecture: &str) -> Parts {
    let parts = layer_normed(without(tiny(architecture), "ffn_norm"));
    if architecture == "command-r" { set(parts, "logit_scale", 0.25f32) } else { parts }
}

/// Four layers: the two, twice.
fn deeper(mut parts: Parts) -> Parts {
    let again: Vec<_> = parts.tensors.iter().filter(|(name, ..)| name.starts_with("blk.")).cloned().collect();
    for (name, shape, dtype, bytes) in again {
        let name = name.replace("blk.1.", "blk.3.").replace("blk.0.", "blk.2.");
        parts.tensors.push((name, shape, dtype, bytes));
    }
    set(parts, "block_count", 4u32)
}

fn n_layers(parts: &Parts) -> usize {
    parts.tensors.iter().filter(|(name, ..)| name.ends_with("attn_output.weight")).count()
}

/// With these norms in each layer, of values around 1.
fn with_norms(mut parts: Parts, modules: &[&str], len: usize) -> Parts {
    for layer in 0..n_layers(&parts) {
        for (m, module) in modules.iter().enumerate() {
            let values: Vec<f32> = (0..len).map(|i| 0.5 + ((7 * i + 3 * m + layer) % 11) as f32 / 8.0).collect();
            parts = parts.tensor(&format!("blk.{layer}.{module}.weight"), [len], &values);
        }
    }
    parts
}

fn with_head_norms(parts: Parts) -> Parts {
    with_norms(parts, &HEAD_NORMS, 8)
}

fn norms_after(parts: Parts) -> Parts {
    renamed(renamed(parts, "attn_norm", "post_attention_norm"), "ffn_norm", "post_ffw_norm")
}

/// With a bias beside the weights of these modules.
fn with_biases(mut parts: Parts, modules: &[&str]) -> Parts {
    let is_wanted = |name: &str| modules.iter().any(|module| name.split('.').any(|part| part == *module));
    let weights: Vec<(String, usize)> =
        parts.tensors.iter().filter(|(name, ..)| is_wanted(name)).map(|(name, shape, ..)| (name.clone(), shape.dims()[0])).collect();
    for (name, len) in weights {
        let values: Vec<f32> = (0..len).map(|i| ((5 * i) % 13) as f32 / 26.0 - 0.25).collect();
        parts = parts.tensor(&name.replace(".weight", ".bias"), [len], &values);
    }
    parts
}

/// Three layers of four with a window.
fn with_windows(parts: Parts) -> Parts {
    let parts = set(parts, "attention.sliding_window", 3u32);
    set(parts, "attention.sliding_window_pattern", MetadataArray::from_bools(&[true, true, true, false]))
}

/// yarn by 8, from this many tokens.
fn scaled(parts: Parts, original: u32, attention: f32) -> Parts {
    let parts = set(set(parts, "rope.scaling.type", "yarn"), "rope.scaling.factor", 8.0f32);
    set(set(parts, "rope.scaling.original_context_length", original), "rope.scaling.yarn_attn_factor", attention)
}

/// Modules of each layer as one, rows below rows.
fn stacked(mut parts: Parts, modules: &[&str], into: &str) -> Parts {
    for layer in 0..n_layers(&parts) {
        let name = |module: &str| format!("blk.{layer}.{module}.weight");
        let bytes: Vec<u8> = modules.iter().flat_map(|m| parts.values(&name(m))).flat_map(f32::to_le_bytes).collect();
        parts.tensors.retain(|(n, ..)| !modules.iter().any(|m| *n == name(m)));
        parts.tensors.push((name(into), Shape::from(&[bytes.len() / 4 / 32, 32][..]), DType::F32, bytes));
    }
    parts
}

/// Gate and up as one matrix.
fn fused(parts: Parts) -> Parts {
    stacked(parts, &["ffn_gate", "ffn_up"], "ffn_up")
}

/// Queries, keys and values as one matrix.
fn joined(parts: Parts) -> Parts {
    stacked(parts, &["attn_q", "attn_k", "attn_v"], "attn_qkv")
}

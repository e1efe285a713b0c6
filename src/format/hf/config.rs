//! The keys of `config.json` and its companions as GGUF metadata.

use std::path::Path;

use serde_json::Value;

use super::families::{Family, at, unknown};
use crate::format::{FormatError, Metadata, MetadataArray};

/// The parsed files of a folder.
pub(super) struct Sources<'a> {
    pub config: Value,
    pub generation: Option<&'a Value>,
    pub tokenizer: Option<&'a Value>,
    /// The text of `chat_template.jinja`, which wins over the template in `tokenizer_config.json`.
    pub template: Option<String>,
}

/// Layers that a list of windows may have: the bound of what can run.
const MAX_LISTED_LAYERS: u64 = 4096;

/// Whole numbers of `config.json`, with what follows `<architecture>.` in GGUF.
const COUNTS: [(&str, &str); 7] = [
    ("vocab_size", "vocab_size"),
    ("max_position_embeddings", "context_length"),
    ("hidden_size", "embedding_length"),
    ("num_hidden_layers", "block_count"),
    ("intermediate_size", "feed_forward_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
];

/// Numbers of `config.json`.
const NUMBERS: [(&str, &str); 3] = [
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("layer_norm_eps", "attention.layer_norm_epsilon"),
    ("rope_theta", "rope.freq_base"),
];

/// Numbers of `rope_scaling`, with what follows `<architecture>.rope.scaling.`.
const ROPE_SCALING: [(&str, &str); 6] = [
    ("factor", "factor"),
    ("low_freq_factor", "low_freq_factor"),
    ("high_freq_factor", "high_freq_factor"),
    ("original_max_position_embeddings", "original_context_length"),
    ("beta_fast", "yarn_beta_fast"),
    ("beta_slow", "yarn_beta_slow"),
];

/// Numbers of `generation_config.json`, with what follows `general.sampling.`.
const SAMPLING: [(&str, &str); 5] =
    [("temperature", "temp"), ("top_k", "top_k"), ("top_p", "top_p"), ("min_p", "min_p"), ("repetition_penalty", "penalty_repeat")];

/// The metadata of a folder.
pub(super) struct Read {
    pub metadata: Metadata,
    /// The entry of its model type, if it has one.
    pub family: Option<&'static Family>,
    /// Why no built-in program computes it.
    pub refusal: Option<String>,
}

/// Builds the metadata; `path` stands for the folder's `config.json` in errors.
pub(super) fn metadata(path: &Path, mut sources: Sources) -> Result<Read, FormatError> {
    let config = &mut sources.config;
    let invalid = |message: String| Err(FormatError::invalid(path, message));
    let Some(model_type) = config.get("model_type").and_then(Value::as_str).map(str::to_owned) else {
        return invalid("has no string `model_type`; it is no configuration of a language model".to_owned());
    };
    if let Some(method) = config.get("quantization_config").filter(|q| !q.is_null()) {
        let method = method.get("quant_method").and_then(Value::as_str).unwrap_or("an unnamed method");
        return invalid(format!(
            "says the weights are quantized by {method}, which is not read; use the unquantized folder or a GGUF file"
        ));
    }
    let family = Family::find(&model_type);
    let (arch, rope_order, refusal) = match family {
        Some(family) => {
            family.fill(config);
            (family.architecture.as_str(), family.rope_order.as_deref(), family.refusal(&model_type, config))
        }
        // Most checkpoints rotate element i with i + D/2.
        None => (model_type.as_str(), Some("neox"), Some(unknown(&model_type))),
    };

    let mut metadata = Metadata::new();
    metadata.set("general.architecture", arch);
    if let Some(order) = rope_order {
        metadata.set("tl.rope_order", order);
    }
    put_model(&mut metadata, arch, path, family, config)?;
    put_rope(&mut metadata, arch, path, config)?;
    put_tokenizer(&mut metadata, &sources);
    if let Some(generation) = sources.generation
        && generation.get("do_sample").and_then(Value::as_bool) != Some(false)
    {
        put_numbers(&mut metadata, "general.sampling.", &SAMPLING, generation);
    }
    Ok(Read { metadata, family, refusal })
}

fn put_model(metadata: &mut Metadata, arch: &str, path: &Path, family: Option<&Family>, config: &Value) -> Result<(), FormatError> {
    for (key, gguf) in COUNTS {
        match config.get(key).filter(|v| !v.is_null()) {
            None => {}
            Some(value) => match (value.as_u64(), counts_by_layer(value)) {
                (Some(count), _) => metadata.set(format!("{arch}.{gguf}"), count),
                (None, Some(counts)) => metadata.set(format!("{arch}.{gguf}"), MetadataArray::from_u32s(&counts)),
                (None, None) => return Err(FormatError::invalid(path, format!("`{key}` is {value}, not a whole number"))),
            },
        }
    }
    put_numbers(metadata, &format!("{arch}."), &NUMBERS, config);
    if let Some(family) = family {
        put_own(metadata, arch, family, config);
    }

    let heads = metadata.u64(&format!("{arch}.attention.head_count"));
    if let (Some(heads), None) = (heads, metadata.u64(&format!("{arch}.attention.head_count_kv"))) {
        metadata.set(format!("{arch}.attention.head_count_kv"), heads);
    }
    let width = metadata.u64(&format!("{arch}.embedding_length"));
    let even_share = || width.zip(heads).filter(|(width, heads)| *heads > 0 && width % heads == 0).map(|(width, heads)| width / heads);
    if let Some(head_size) = config.get("head_dim").and_then(Value::as_u64).or_else(even_share) {
        metadata.set(format!("{arch}.attention.key_length"), head_size);
        metadata.set(format!("{arch}.attention.value_length"), head_size);
        let rotated = rotary_share(config).map_or(head_size, |part| (head_size as f64 * part) as u64);
        metadata.set(format!("{arch}.rope.dimension_count"), rotated);
    }
    put_window(metadata, arch, family, config);
    Ok(())
}

/// What only the model type has.
fn put_own(metadata: &mut Metadata, arch: &str, family: &Family, config: &Value) {
    for (gguf, &value) in &family.constants {
        metadata.set(format!("{arch}.{gguf}"), value);
    }
    for (key, gguf) in &family.keys {
        let Some(value) = at(config, key) else { continue };
        put_number(metadata, &format!("{arch}.{gguf}"), value);
        if let Some(value) = value.as_bool() {
            metadata.set(format!("{arch}.{gguf}"), value);
        }
    }
}

/// A number for each layer, where they differ.
fn counts_by_layer(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(as_id).collect()
}

/// The share of a head that rotates, where it is not all.
fn rotary_share(config: &Value) -> Option<f64> {
    let within = || config.get("rope_parameters")?.get("partial_rotary_factor");
    within().or_else(|| config.get("partial_rotary_factor")).and_then(Value::as_f64)
}

/// The window of attention, and which layers have it.
fn put_window(metadata: &mut Metadata, arch: &str, family: Option<&Family>, config: &Value) {
    // Some model types state a window that they use only where a switch says so; an absent switch is off.
    let first_layer = config.get("max_window_layers").and_then(Value::as_u64);
    let is_switched = first_layer.is_some() || family.is_some_and(|f| f.window_switch);
    let is_on = config.get("use_sliding_window").and_then(Value::as_bool).unwrap_or(!is_switched);
    let Some(window) = config.get("sliding_window").and_then(Value::as_u64).filter(|_| is_on) else { return };
    metadata.set(format!("{arch}.attention.sliding_window"), window);
    let n_layers = metadata.u64(&format!("{arch}.block_count")).unwrap_or(0).min(MAX_LISTED_LAYERS);
    let is_windowed = |layer_type: &str| layer_type == "sliding_attention";
    let own_types = family.map_or(&[][..], |f| &f.layer_types);
    let by_layer: Vec<bool> = match (config.get("layer_types").and_then(Value::as_array), first_layer) {
        (Some(types), _) => types.iter().map(|t| t.as_str().is_some_and(is_windowed)).collect(),
        (None, Some(first)) => (0..n_layers).map(|i| i >= first).collect(),
        (None, None) if own_types.is_empty() => return,
        (None, None) => own_types.iter().cycle().take(n_layers as usize).map(|t| is_windowed(t)).collect(),
    };
    metadata.set(format!("{arch}.attention.sliding_window_pattern"), MetadataArray::from_bools(&by_layer));
}

/// Older files have `rope_scaling` beside `rope_theta`, newer ones both in `rope_parameters`, also by the type of the layer.
fn put_rope(metadata: &mut Metadata, arch: &str, path: &Path, config: &Value) -> Result<(), FormatError> {
    let present = |key: &str| config.get(key).and_then(Value::as_object);
    let Some(rope) = present("rope_parameters").or_else(|| present("rope_scaling")) else { return Ok(()) };
    let invalid = |message: String| Err(FormatError::invalid(path, message));
    let theta = [("rope_theta", "rope.freq_base")];
    if rope.is_empty() || !rope.values().all(|v| v.is_object() || v.is_null()) {
        put_numbers(metadata, &format!("{arch}."), &theta, &Value::Object(rope.clone()));
        return put_scaling(metadata, arch, path, config, &Value::Object(rope.clone()));
    }
    for (layers, rope) in rope.iter().filter(|(_, v)| v.is_object()) {
        match layers.as_str() {
            "full_attention" => {
                put_numbers(metadata, &format!("{arch}."), &theta, rope);
                put_scaling(metadata, arch, path, config, rope)?;
            }
            "sliding_attention" if scaling_kind(rope) == Some("default") => {
                put_numbers(metadata, &format!("{arch}."), &[("rope_theta", "rope.freq_base_swa")], rope);
            }
            "sliding_attention" => {
                return invalid(format!("scales the positions of layers with a window ({rope}), which is not supported"));
            }
            other => return invalid(format!("has positions for layers of the type `{other}`, which is not known")),
        }
    }
    Ok(())
}

/// `None` for parameters of a scaling that is not named.
fn scaling_kind(rope: &Value) -> Option<&str> {
    const OF_ANY: [&str; 3] = ["rope_theta", "partial_rotary_factor", "original_max_position_embeddings"];
    let is_plain = || rope.as_object().is_some_and(|r| r.keys().all(|key| OF_ANY.contains(&key.as_str())));
    match rope.get("rope_type").or_else(|| rope.get("type")).filter(|v| !v.is_null()) {
        // The older name.
        Some(kind) => kind.as_str().map(|kind| if kind == "su" { "longrope" } else { kind }),
        None => is_plain().then_some("default"),
    }
}

fn put_scaling(metadata: &mut Metadata, arch: &str, path: &Path, config: &Value, rope: &Value) -> Result<(), FormatError> {
    let Some(kind) = scaling_kind(rope) else {
        return Err(FormatError::invalid(path, format!("scales positions without a `rope_type` that names how: {rope}")));
    };
    if kind == "default" {
        return Ok(());
    }
    let number = |key: &str| rope.get(key).and_then(Value::as_f64).filter(|&v| v != 0.0);
    if let (Some(alpha), "dynamic") = (number("alpha"), kind) {
        // With a fixed alpha the base is all that is stretched, whatever the length (HunYuan, "NTK-aware alpha").
        let base = metadata.f64(&format!("{arch}.rope.freq_base")).unwrap_or(10000.0);
        let dims = metadata.u64(&format!("{arch}.rope.dimension_count")).filter(|&d| d > 2).unwrap_or(128) as f64;
        metadata.set(format!("{arch}.rope.freq_base"), base * alpha.powf(dims / (dims - 2.0)));
        return Ok(());
    }
    let prefix = format!("{arch}.rope.scaling.");
    metadata.set(format!("{prefix}type"), kind);
    // Some files keep the trained length beside, not inside, `rope_scaling`.
    put_numbers(metadata, &prefix, &[("original_max_position_embeddings", "original_context_length")], config);
    put_numbers(metadata, &prefix, &ROPE_SCALING, rope);
    let attention = if kind == "yarn" { "yarn_attn_factor" } else { "attn_factor" };
    put_numbers(metadata, &prefix, &[("attention_factor", attention)], rope);
    if let (Some(one), Some(all), Some(factor)) = (number("mscale"), number("mscale_all_dim"), number("factor"))
        && kind == "yarn"
        && metadata.get(&format!("{prefix}yarn_attn_factor")).is_none()
    {
        let scale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
        metadata.set(format!("{prefix}yarn_attn_factor"), scale(one) / scale(all));
    }
    if let Some(truncate) = rope.get("truncate").and_then(Value::as_bool) {
        metadata.set(format!("{prefix}truncate"), truncate);
    }
    for key in ["short_factor", "long_factor"] {
        let Some(factors) = rope.get(key).and_then(Value::as_array) else { continue };
        let factors: Option<Vec<f32>> = factors.iter().map(|v| v.as_f64().map(|v| v as f32)).collect();
        let Some(factors) = factors else {
            return Err(FormatError::invalid(path, format!("has a `{key}` that holds more than numbers")));
        };
        metadata.set(format!("{prefix}{key}"), MetadataArray::from_f32s(&factors));
    }
    Ok(())
}

/// Special tokens by id and by text, and the chat template.
fn put_tokenizer(metadata: &mut Metadata, sources: &Sources) {
    for (key, gguf) in [("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id"), ("pad_token_id", "padding_token_id")] {
        let value = sources.generation.and_then(|g| g.get(key)).or_else(|| sources.config.get(key));
        let ids: Vec<u32> = match value {
            Some(Value::Array(ids)) => ids.iter().filter_map(as_id).collect(),
            Some(id) => as_id(id).into_iter().collect(),
            None => Vec::new(),
        };
        if let Some(&first) = ids.first() {
            metadata.set(format!("tokenizer.ggml.{gguf}"), first);
        }
        if key == "eos_token_id" && ids.len() > 1 {
            // Any of them ends an answer; GGUF has no key for more than one.
            metadata.set("tl.eos_token_ids", MetadataArray::from_u32s(&ids));
        }
    }
    let Some(tokenizer) = sources.tokenizer else {
        put_template(metadata, sources.template.as_deref());
        return;
    };
    for key in ["bos_token", "eos_token", "pad_token", "unk_token"] {
        // Either a string or an added-token object with one.
        let token = tokenizer.get(key).and_then(|v| v.as_str().or_else(|| v.get("content")?.as_str()));
        if let Some(token) = token {
            metadata.set(format!("tl.{key}"), token);
        }
    }
    for key in ["add_bos_token", "add_eos_token"] {
        if let Some(add) = tokenizer.get(key).and_then(Value::as_bool) {
            metadata.set(format!("tokenizer.ggml.{key}"), add);
        }
    }
    let template = match tokenizer.get("chat_template") {
        Some(Value::Array(named)) => {
            let text = |wanted: Option<&str>| {
                let found = named.iter().find(|t| wanted.is_none() || t.get("name").and_then(Value::as_str) == wanted)?;
                found.get("template")?.as_str()
            };
            text(Some("default")).or_else(|| text(None))
        }
        Some(template) => template.as_str(),
        None => None,
    };
    put_template(metadata, sources.template.as_deref().or(template));
}

fn put_template(metadata: &mut Metadata, template: Option<&str>) {
    if let Some(template) = template {
        metadata.set("tokenizer.chat_template", template);
    }
}

fn put_numbers(metadata: &mut Metadata, prefix: &str, keys: &[(&str, &str)], from: &Value) {
    for (key, gguf) in keys {
        if let Some(value) = from.get(key) {
            put_number(metadata, &format!("{prefix}{gguf}"), value);
        }
    }
}

fn put_number(metadata: &mut Metadata, key: &str, value: &Value) {
    if let Some(whole) = value.as_u64() {
        metadata.set(key, whole);
    } else if let Some(number) = value.as_f64() {
        metadata.set(key, number);
    }
}

fn as_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

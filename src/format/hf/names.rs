//! Tensor names of Hugging Face checkpoints and their GGUF equivalents.

/// What stands between `model.layers.<i>.` and `.weight` or `.bias`, here and in GGUF.
const IN_LAYER: [(&str, &str); 14] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.sinks", "attn_sinks"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// The same outside the layers.
const OUTSIDE: [(&str, &str); 3] = [("embed_tokens", "token_embd"), ("norm", "output_norm"), ("lm_head", "output")];

/// The GGUF name of a checkpoint's tensor: `model.layers.0.self_attn.q_proj.weight` is `blk.0.attn_q.weight`. A name that
/// no rule knows stays as it is, so that a user's own architecture finds it; `None` is a buffer that is computed anew.
pub fn gguf_name(name: &str) -> Option<String> {
    if name.ends_with(".rotary_emb.inv_freq") {
        return None;
    }
    Some(known_name(name).unwrap_or_else(|| name.to_owned()))
}

/// Whether a rule knows the name.
pub(super) fn is_weight(name: &str) -> bool {
    known_name(name).is_some()
}

fn known_name(name: &str) -> Option<String> {
    let path = name.strip_prefix("model.").unwrap_or(name);
    let (module, kind) = path.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
    let look_up = |table: &[(&str, &'static str)], module: &str| table.iter().find(|(hf, _)| *hf == module).map(|(_, gguf)| *gguf);
    match module.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
        Some((layer, module)) if layer.bytes().all(|b| b.is_ascii_digit()) => {
            Some(format!("blk.{layer}.{}.{kind}", look_up(&IN_LAYER, module)?))
        }
        _ => Some(format!("{}.{kind}", look_up(&OUTSIDE, module)?)),
    }
}

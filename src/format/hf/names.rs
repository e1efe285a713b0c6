//! Tensor names of Hugging Face checkpoints and their GGUF equivalents.

use super::families::{Family, module_name};

/// The GGUF name of a tensor in a folder of this `model_type`: `model.layers.0.self_attn.q_proj.weight` is `blk.0.attn_q.weight`. A name
/// that no rule knows stays as it is, so that a user's own architecture finds it, and a program that does not use it is not run; `None` is a
/// buffer that is computed anew.
pub fn gguf_name(model_type: &str, name: &str) -> Option<String> {
    renamed(Family::find(model_type), name)
}

pub(super) fn renamed(family: Option<&'static Family>, name: &str) -> Option<String> {
    if name.ends_with(".rotary_emb.inv_freq") {
        return None;
    }
    Some(known_name(family, name).unwrap_or_else(|| name.to_owned()))
}

/// Whether a rule knows the name.
pub(super) fn is_weight(family: Option<&'static Family>, name: &str) -> bool {
    known_name(family, name).is_some()
}

fn known_name(family: Option<&'static Family>, name: &str) -> Option<String> {
    let path = name.strip_prefix("model.").unwrap_or(name);
    let (module, kind) = path.rsplit_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
    match module.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
        Some((layer, module)) if layer.bytes().all(|b| b.is_ascii_digit()) => {
            Some(format!("blk.{layer}.{}.{kind}", module_name(family, module, true)?))
        }
        _ => Some(format!("{}.{kind}", module_name(family, module, false)?)),
    }
}

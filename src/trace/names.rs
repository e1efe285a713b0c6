//! The names of steps: our own, and those under which others store the same values.
//!
//! | ours: the variables of `lang/std/llama.tl` | in `exact.*` files | llama.cpp's callback | what |
//! |---|---|---|---|
//! | `embedding` | `exact.embedding` | `inp_embd` | rows of the table, `[T, C]` |
//! | `blk.0.attn_norm` | `exact.layer0.attn_norm` | `attn_norm-0` | norm before attention |
//! | `blk.0.q`, `k`, `v` | `exact.layer0.q`, … | `Qcur-0`, … | projections, `[T, H, D]` or `[T, H * D]` |
//! | `blk.0.q_rope`, `k_rope` | the same | `Qcur_rope-0`, … | after the rotation |
//! | `blk.0.attn_out` | the same | `kqv_out-0` | what the heads read |
//! | `blk.0.attn_proj` | the same | `attn_out-0` | its projection |
//! | `blk.0.ffn_inp` | the same | `ffn_inp-0` | the residual stream between the halves |
//! | `blk.0.ffn_norm`, `gate`, `up` | the same | `ffn_norm-0`, `ffn_gate-0`, `ffn_up-0` | |
//! | `blk.0.silu_gate`, `gated`, `ffn_out` | the same | `ffn_silu-0`, `ffn_gate_par-0`, `ffn_out-0` | |
//! | `blk.0.output` | `exact.layer.0` | `l_out-0` | the residual stream after the layer |
//! | `final_norm`, `logits` | `exact.final_norm`, `exact.logits` | `result_norm`, `result_output` | |
//!
//! A projection may also be called as its weight is: `blk.0.attn_q`, `blk.0.ffn_down`.
//!
//! Any other name is matched as it stands, or through a mapping.

/// A step's name taken apart: `blk.3.attn_q` is layer 3, step `attn_q`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepName {
    pub layer_idx: Option<usize>,
    pub step: String,
}

/// Steps of a layer, each with the other names it goes by.
const LAYER_STEPS: &[(&str, &[&str])] = &[
    ("q", &["attn_q", "q_proj", "Qcur"]),
    ("k", &["attn_k", "k_proj", "Kcur"]),
    ("v", &["attn_v", "v_proj", "Vcur"]),
    ("q_rope", &["Qcur_rope", "attn_q_rope"]),
    ("k_rope", &["Kcur_rope", "attn_k_rope"]),
    ("attn_out", &["kqv_out", "attn", "attention"]),
    ("attn_proj", &["attn_output", "o_proj"]),
    ("ffn_inp", &["attn_residual"]),
    ("gate", &["ffn_gate", "gate_proj"]),
    ("up", &["ffn_up", "up_proj"]),
    ("silu_gate", &["ffn_silu", "silu"]),
    ("gated", &["ffn_gated", "ffn_gate_par"]),
    ("ffn_out", &["ffn_down", "down", "down_proj"]),
    ("output", &["l_out", "residual"]),
];

/// Steps outside the layers.
const MODEL_STEPS: &[(&str, &[&str])] = &[
    ("embedding", &["token_embd", "inp_embd", "embed_tokens"]),
    ("final_norm", &["output_norm", "result_norm"]),
    ("logits", &["output", "result_output", "lm_head"]),
];

impl StepName {
    /// Takes apart any of the spellings above; weights' endings are dropped.
    pub fn parse(name: &str) -> StepName {
        let name = name.strip_prefix("exact.").unwrap_or(name);
        let name = name.strip_suffix(".weight").unwrap_or(name);
        let (layer_idx, step) = split_layer(name);
        let table = if layer_idx.is_some() { LAYER_STEPS } else { MODEL_STEPS };
        // llama.cpp calls the projection what the others call its input; its names end in the layer.
        let step = if step == "attn_out" && name.ends_with(|c: char| c.is_ascii_digit()) { "attn_proj" } else { step };
        let step = table.iter().find(|(ours, others)| *ours == step || others.contains(&step)).map_or(step, |(ours, _)| ours);
        StepName { layer_idx, step: step.to_owned() }
    }
}

impl std::fmt::Display for StepName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.layer_idx {
            Some(i) => write!(f, "blk.{i}.{}", self.step),
            None => f.write_str(&self.step),
        }
    }
}

/// The steps of a layer in the order in which a llama computes them.
const ORDER: &[&str] = &[
    "attn_norm",
    "q",
    "k",
    "v",
    "q_rope",
    "k_rope",
    "attn_out",
    "attn_proj",
    "ffn_inp",
    "ffn_norm",
    "gate",
    "up",
    "silu_gate",
    "gated",
    "ffn_out",
    "output",
];

/// Whether the step `a` comes before `b` in a model; `None` where the names do not say.
pub(super) fn is_before(a: &str, b: &str) -> Option<bool> {
    let place = |name: &str| {
        let StepName { layer_idx, step } = StepName::parse(name);
        match (layer_idx, step.as_str()) {
            (Some(i), step) => ORDER.iter().position(|s| *s == step).map(|at| (i + 1, at)),
            (None, "embedding") => Some((0, 0)),
            (None, "final_norm") => Some((usize::MAX, 0)),
            (None, "logits") => Some((usize::MAX, 1)),
            _ => None,
        }
    };
    // Of two layers the number decides, whatever the steps are called.
    match (StepName::parse(a).layer_idx, StepName::parse(b).layer_idx) {
        (Some(a), Some(b)) if a != b => Some(a < b),
        _ => Some(place(a)? < place(b)?),
    }
}

/// Our spelling of a step's name, whoever wrote it.
pub fn canonical(name: &str) -> String {
    StepName::parse(name).to_string()
}

/// `blk.0.x`, `layers.0.x`, `layer0.x`, `layer.0` (the layer's output) and `x-0`.
fn split_layer(name: &str) -> (Option<usize>, &str) {
    for prefix in ["blk.", "layers.", "layer.", "layer"] {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let Ok(layer_idx) = rest[..digits].parse() {
            match rest[digits..].strip_prefix('.') {
                Some(step) => return (Some(layer_idx), step),
                None if digits == rest.len() => return (Some(layer_idx), "output"),
                None => {}
            }
        }
    }
    match name.rsplit_once('-') {
        Some((step, layer)) => layer.parse().map_or((None, name), |layer_idx| (Some(layer_idx), step)),
        None => (None, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_of_a_step_is_the_same_step() {
        for (theirs, ours) in [
            ("exact.embedding", "embedding"),
            ("exact.layer0.q", "blk.0.q"),
            ("blk.0.attn_q.weight", "blk.0.q"),
            ("exact.layer0.attn_out", "blk.0.attn_out"),
            ("exact.layer0.attn_proj", "blk.0.attn_proj"),
            ("exact.layer.12", "blk.12.output"),
            ("exact.final_norm", "final_norm"),
            ("exact.logits", "logits"),
            ("blk.3.ffn_gated", "blk.3.gated"),
            ("l_out-7", "blk.7.output"),
            ("attn_out-7", "blk.7.attn_proj"),
            ("kqv_out-7", "blk.7.attn_out"),
            ("layers.2.down_proj", "blk.2.ffn_out"),
            ("hidden-state", "hidden-state"),
            ("layered", "layered"),
        ] {
            assert_eq!(canonical(theirs), ours, "{theirs}");
        }
    }
}

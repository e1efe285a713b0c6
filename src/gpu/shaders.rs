//! The texts of `shaders/wgsl`, and of fragments that a program that embeds the engine added.

use std::sync::{PoisonError, RwLock};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// The files of `shaders/wgsl`, by name without `.wgsl`.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/wgsl/", $name, ".wgsl")))),*];
    };
}

files!(
    "prelude/run",
    "prelude/words",
    "prelude/words_64",
    "prelude/dot_packed",
    "prelude/dot_pairs",
    "prelude/rows_i8",
    "prelude/reduce_subgroup",
    "prelude/reduce_workgroup",
    "prelude/quads_subgroup",
    "prelude/quads_loaded",
    "prelude/quantize_subgroup",
    "prelude/quantize_workgroup",
    "prelude/philox",
    "prelude/order",
    "prelude/radix_select",
    "prelude/candidates",
    "prelude/ring",
    "prelude/attention",
    "prelude/half",
    "prelude/math",
    "prelude/activation",
    "prologue/plain",
    "prologue/ragged",
    "prologue/rms_norm",
    "quant/common",
    "quant/plain",
    "quant/f32",
    "quant/f16",
    "quant/bf16",
    "quant/five_bits",
    "quant/two_bits",
    "quant/iq4_values",
    "quant/q4_0",
    "quant/q4_1",
    "quant/q5_0",
    "quant/q5_1",
    "quant/q8_0",
    "quant/q2_k",
    "quant/q3_k",
    "quant/q4_k",
    "quant/q5_k",
    "quant/q6_k",
    "quant/iq4_nl",
    "quant/iq4_xs",
    "quant/mxfp4",
    "pair/each",
    "pair/half_scales",
    "pair/q4_0",
    "pair/q8_0",
    "pair/q4_k",
    "pair/q5_k",
    "pair/q6_k",
    "kv/f32",
    "kv/f16",
    "kv/q8_0",
    "kv/f32_store",
    "kv/f16_store",
    "kv/q8_0_store",
    "matrix/edge_16",
    "matrix/edge_8",
    "parts/within",
    "parts/apart",
    "parts/merge",
    "epilogue/store",
    "epilogue/matrix",
    "epilogue/heads",
    "epilogue/tile_rows",
    "epilogue/tile_store",
    "epilogue/tile_rope_store",
    "epilogue/tile_gated",
    "epilogue/gated",
    "epilogue/rope_store",
    "embedding",
    "rms_norm",
    "matvec",
    "matvec_i8",
    "matvec_pairs",
    "matmul",
    "matmul_registers",
    "matmul_cooperative",
    "narrow",
    "gated",
    "rope",
    "cache_store",
    "attention",
    "attention_cooperative",
    "attention_merge",
    "elementwise",
    "copy",
    "reduce",
    "cumulate",
    "softmax",
    "einsum",
    "gather",
    "scatter_add",
    "argsort",
    "iota",
    "random",
    "select_row",
    "scalar",
    "argmax_partial",
    "argmax_final",
    "punish",
    "sample",
    "bandwidth",
);

/// Names and texts of fragments that were added, for the life of the process.
static ADDED: RwLock<Vec<(&'static str, &'static str)>> = RwLock::new(Vec::new());

/// The text of a file or of an added fragment.
pub fn text(name: &str) -> Option<&'static str> {
    let of = |texts: &[(&str, &'static str)]| texts.iter().find(|(n, _)| *n == name).map(|(_, text)| *text);
    of(FILES).or_else(|| of(&ADDED.read().unwrap_or_else(PoisonError::into_inner)))
}

/// The name of the file that a name stands for; `None` where there is no such file.
pub fn file_name(name: &str) -> Option<&'static str> {
    FILES.iter().map(|(n, _)| *n).find(|n| *n == name)
}

/// Adds a fragment, whose name no other text has.
pub fn add(name: &'static str, text: &'static str) {
    ADDED.write().unwrap_or_else(PoisonError::into_inner).push((name, text));
}

/// Whether a fragment was added: text that nobody proved to stay within its buffers.
pub fn is_added(name: &str) -> bool {
    ADDED.read().unwrap_or_else(PoisonError::into_inner).iter().any(|(n, _)| *n == name)
}

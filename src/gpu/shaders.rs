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
    "prelude/one_row_subgroup",
    "prelude/one_row_workgroup",
    "prelude/few_rows",
    "prelude/pairs_i8",
    "prelude/philox",
    "prelude/order",
    "prelude/draws",
    "prelude/radix_select",
    "prelude/candidates",
    "prelude/pages",
    "prelude/segments",
    "prelude/view",
    "prelude/attention",
    "prelude/null_logits",
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
    "epilogue/tile_parts",
    "epilogue/rotated_pair",
    "epilogue/join_store",
    "epilogue/join_gated",
    "epilogue/join_rope_store",
    "epilogue/tile_gated",
    "epilogue/gated",
    "epilogue/rope_store",
    "embedding",
    "rms_norm",
    "matvec",
    "matvec_i8",
    "matvec_pairs",
    "matvec_rows",
    "matvec_rows_i8",
    "matvec_rows_pairs",
    "quantize",
    "expert_linear",
    "matmul",
    "matmul_registers",
    "matmul_cooperative",
    "join",
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
    "last_rows",
    "recorded_ids",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::contract::{defined, expected};
    use super::*;

    /// Names before an opening parenthesis, comments left out.
    fn called(text: &str) -> BTreeSet<&str> {
        let code = text.lines().filter_map(|line| line.split("//").next());
        let before = code.flat_map(|line| line.match_indices('(').map(move |(at, _)| &line[..at]));
        before.filter_map(|before| before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()).collect()
    }

    /// Every file says in its line `Expects` just the functions of other files that it calls. `value` is written by the lowering.
    #[test]
    fn what_a_file_calls_and_does_not_define_is_what_it_expects() {
        let everywhere: BTreeSet<&str> = text("prelude/run").into_iter().flat_map(defined).collect();
        let of_files: BTreeSet<&str> = FILES.iter().flat_map(|(_, text)| defined(text)).chain(["value"]).collect();
        let mut wrong = Vec::new();
        for (name, text) in FILES {
            let own: BTreeSet<&str> = defined(text).collect();
            let calls = called(text).into_iter().filter(|f| of_files.contains(f) && !own.contains(f) && !everywhere.contains(f));
            let (calls, says): (BTreeSet<&str>, BTreeSet<&str>) = (calls.collect(), expected(text).collect());
            wrong.extend(calls.difference(&says).map(|f| format!("{name} calls `{f}` and does not expect it")));
            wrong.extend(says.difference(&calls).map(|f| format!("{name} expects `{f}` and does not call it")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

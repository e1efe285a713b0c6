//! Joining a kernel's text: constants, prelude, fragments, operation. No preprocessor; each part is WGSL of its own.

use std::fmt::Write;
use std::sync::Arc;

use super::quant::WeightFormat;

/// What a kernel is assembled from. Equal sources are one pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The operation's file in `shaders/wgsl`, without `.wgsl`.
    pub op: &'static str,
    /// Files of fragments, in the order in which they are joined.
    pub fragments: Vec<&'static str>,
    pub constants: Vec<(&'static str, Constant)>,
    /// Text that the backend writes itself: an elementwise expression.
    pub generated: Option<Arc<str>>,
}

/// A constant's value: widths, tiles and switches, never a token count, a position or a general tensor's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Constant {
    U32(u32),
    Bool(bool),
}

impl From<u32> for Constant {
    fn from(value: u32) -> Self {
        Constant::U32(value)
    }
}

impl From<usize> for Constant {
    fn from(value: usize) -> Self {
        Constant::U32(value as u32)
    }
}

impl From<bool> for Constant {
    fn from(value: bool) -> Self {
        Constant::Bool(value)
    }
}

/// What of a device a module's text depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The size of every subgroup, 0 where they cannot be used.
    pub subgroup: u32,
    /// A processor behind a graphics interface.
    pub software: bool,
    /// Memory is read in words of 64 bits.
    pub words_64: bool,
}

impl Source {
    pub fn new(op: &'static str) -> Self {
        Source { op, fragments: Vec::new(), constants: Vec::new(), generated: None }
    }

    pub fn with(mut self, fragment: &'static str) -> Self {
        self.fragments.push(fragment);
        self
    }

    /// The fragments that read a weight of this format.
    pub fn with_weight(mut self, format: &WeightFormat) -> Self {
        self.fragments.push("prelude/words");
        self.fragments.extend(format.fragments);
        self
    }

    pub fn set(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    pub fn generate(mut self, text: &str) -> Self {
        self.generated = Some(text.into());
        self
    }

    /// `matvec + quant/q4_0 + epilogue/store`
    pub fn name(&self) -> String {
        let mut name = self.op.to_owned();
        for fragment in &self.fragments {
            let _ = write!(name, " + {fragment}");
        }
        name
    }

    /// Whether a fragment came with a format that was added: text that nobody proved to stay within its buffers.
    pub fn has_added(&self) -> bool {
        self.fragments.iter().any(|name| super::quant::added_fragment(name).is_some())
    }

    /// The whole module.
    ///
    /// # Errors
    /// The name of a fragment that there is no text of.
    pub fn assemble(&self, target: Target) -> Result<String, &'static str> {
        self.assemble_with(target, None)
    }

    /// The same with the text of one more fragment, by its name.
    ///
    /// # Errors
    /// As [`Source::assemble`].
    pub fn assemble_with(&self, target: Target, own: Option<(&str, &'static str)>) -> Result<String, &'static str> {
        let file = |name: &'static str| match own {
            Some((own, text)) if own == name => Ok(text),
            _ => file(name).ok_or(name),
        };
        let Target { subgroup, software, words_64 } = target;
        let mut text = String::new();
        for (name, value) in &self.constants {
            let _ = match value {
                Constant::U32(v) => writeln!(text, "const {name}: u32 = {v}u;"),
                Constant::Bool(v) => writeln!(text, "const {name}: bool = {v};"),
            };
        }
        let _ = writeln!(text, "const SUBGROUP: u32 = {subgroup}u;");
        text.push_str(file("prelude/run")?);
        for fragment in &self.fragments {
            let name = match *fragment {
                "prelude/reduce" if subgroup > 0 => "prelude/reduce_subgroup",
                "prelude/reduce" => "prelude/reduce_workgroup",
                "prelude/quantize" if subgroup >= 8 && !software => "prelude/quantize_subgroup",
                "prelude/quantize" => "prelude/quantize_workgroup",
                "prelude/quads" if subgroup == 8 => "prelude/quads_subgroup",
                "prelude/quads" => "prelude/quads_loaded",
                "prelude/words" if words_64 => "prelude/words_64",
                other => other,
            };
            text.push_str(file(name)?);
        }
        if let Some(generated) = &self.generated {
            text.push_str(generated);
        }
        text.push_str(file(self.op)?);
        Ok(hoist_enables(text))
    }
}

/// Directives come first in a module, wherever the part that needs them stands.
fn hoist_enables(text: String) -> String {
    let (enables, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("enable "));
    if enables.is_empty() { text } else { enables.into_iter().chain(rest).flat_map(|line| [line, "\n"]).collect() }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// All files of `shaders/wgsl`, by name without `.wgsl`.
        pub const FILES: &[(&str, &str)] =
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

fn file(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(n, _)| *n == name).map(|(_, text)| *text).or_else(|| super::quant::added_fragment(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_fragment_is_an_error() {
        let target = Target { subgroup: 0, software: false, words_64: false };
        let source = Source::new("iota").with("prelude/absent");
        assert_eq!(source.assemble(target), Err("prelude/absent"));
        assert_eq!(Source::new("absent").assemble(target), Err("absent"));
        assert!(Source::new("iota").assemble(target).is_ok());
    }
}

//! Joining a kernel's text: constants, prelude, fragments, operation. No preprocessor; each part is WGSL of its own.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use super::{contract, shaders};

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

    /// The fragments that read a weight, of which its format names these.
    pub fn with_weight(mut self, fragments: &[&'static str]) -> Self {
        self.fragments.push("prelude/words");
        self.fragments.extend(fragments);
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
        self.fragments.iter().any(|name| shaders::is_added(name))
    }

    /// The whole module.
    ///
    /// # Errors
    /// With the kernel's name, where there is no text of a fragment, or a part expects a function that no other part defines.
    pub fn assemble(&self, target: Target) -> Result<String, AssemblyError> {
        self.assemble_with(target, None)
    }

    /// The same with the text of one more fragment, by its name.
    ///
    /// # Errors
    /// As [`Source::assemble`].
    pub fn assemble_with(&self, target: Target, own: Option<(&str, &'static str)>) -> Result<String, AssemblyError> {
        let parts = self.parts(target, own)?;
        self.check_expected(&parts)?;
        let mut text = String::new();
        for (name, value) in &self.constants {
            let _ = match value {
                Constant::U32(v) => writeln!(text, "const {name}: u32 = {v}u;"),
                Constant::Bool(v) => writeln!(text, "const {name}: bool = {v};"),
            };
        }
        let _ = writeln!(text, "const SUBGROUP: u32 = {}u;", target.subgroup);
        text.extend(parts.iter().map(|(_, text)| *text));
        Ok(hoist_enables(text))
    }

    /// Names and texts of what is joined, in order.
    fn parts<'a>(&'a self, target: Target, own: Option<(&str, &'a str)>) -> Result<Vec<(&'a str, &'a str)>, AssemblyError> {
        let text = |name: &'static str| {
            let own = own.filter(|(own, _)| *own == name).map(|(_, text)| text);
            let found = own.or_else(|| shaders::text(name)).map(|text| (name, text));
            found.ok_or_else(|| AssemblyError::Fragment { kernel: self.name(), name })
        };
        let mut parts = vec![text("prelude/run")?];
        for fragment in &self.fragments {
            parts.push(text(target.fragment(fragment))?);
        }
        parts.extend(self.generated.as_ref().map(|generated| ("generated", &**generated)));
        parts.push(text(self.op)?);
        Ok(parts)
    }

    /// Refuses a part that expects a function of no other part.
    fn check_expected(&self, parts: &[(&str, &str)]) -> Result<(), AssemblyError> {
        let defined: HashSet<&str> = parts.iter().flat_map(|(_, text)| contract::defined(text)).collect();
        for (part, text) in parts {
            if let Some(function) = contract::expected(text).find(|function| !defined.contains(function)) {
                return Err(AssemblyError::Function { kernel: self.name(), part: (*part).to_owned(), function: function.to_owned() });
            }
        }
        Ok(())
    }
}

impl Target {
    /// The form of a fragment for this device.
    fn fragment(self, name: &'static str) -> &'static str {
        let Target { subgroup, software, words_64 } = self;
        match name {
            "prelude/reduce" if subgroup > 0 => "prelude/reduce_subgroup",
            "prelude/reduce" => "prelude/reduce_workgroup",
            "prelude/quantize" if subgroup >= 8 && !software => "prelude/quantize_subgroup",
            "prelude/quantize" => "prelude/quantize_workgroup",
            "prelude/one_row" if subgroup >= 8 && !software => "prelude/one_row_subgroup",
            "prelude/one_row" => "prelude/one_row_workgroup",
            "prelude/quads" if subgroup == 8 => "prelude/quads_subgroup",
            "prelude/quads" => "prelude/quads_loaded",
            "prelude/words" if words_64 => "prelude/words_64",
            other => other,
        }
    }
}

/// Why a kernel cannot be assembled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    #[error("kernel {kernel} needs `{name}`, of which there is no text")]
    Fragment { kernel: String, name: &'static str },
    #[error("kernel {kernel} defines no function `{function}`, which `{part}` expects of another of its parts")]
    Function { kernel: String, part: String, function: String },
}

/// Directives come first in a module, wherever the part that needs them stands.
fn hoist_enables(text: String) -> String {
    let (enables, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("enable "));
    if enables.is_empty() { text } else { enables.into_iter().chain(rest).flat_map(|line| [line, "\n"]).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { subgroup: 0, software: false, words_64: false };

    fn refusal(source: &Source) -> String {
        source.assemble(TARGET).unwrap_err().to_string()
    }

    #[test]
    fn an_absent_fragment_is_an_error() {
        let said = refusal(&Source::new("iota").with("prelude/absent"));
        assert_eq!(said, "kernel iota + prelude/absent needs `prelude/absent`, of which there is no text");
        assert!(refusal(&Source::new("absent")).contains("needs `absent`"));
        assert!(Source::new("iota").assemble(TARGET).is_ok());
    }

    /// A fragment that was not joined, and one that was joined and expects another.
    #[test]
    fn a_function_that_no_fragment_defines_is_an_error() {
        let said = refusal(&Source::new("argsort"));
        assert_eq!(said, "kernel argsort defines no function `order_key`, which `argsort` expects of another of its parts");
        let weighed = Source::new("embedding").with_weight(&["quant/common"]);
        assert!(refusal(&weighed).contains("defines no function `load_block`, which `quant/common` expects"));
        assert!(Source::new("argsort").with("prelude/order").assemble(TARGET).is_ok());
    }
}

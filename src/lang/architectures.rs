//! Which program runs a model: by `general.architecture`.

/// The embedded programs.
const EMBEDDED: &[(&str, &str)] =
    &[("llama", include_str!("std/llama.tl")), ("qwen2", include_str!("std/qwen2.tl")), ("qwen3", include_str!("std/qwen3.tl"))];

/// The programs of the architectures that the engine knows.
pub struct Architectures;

impl Architectures {
    /// The file name, for diagnostics, and the text of an architecture's program.
    ///
    /// # Errors
    /// A sentence that names the architecture, those that are known, and the flag.
    pub fn find(name: &str) -> Result<(String, &'static str), String> {
        match EMBEDDED.iter().find(|(n, _)| *n == name) {
            Some((name, text)) => Ok((format!("std/{name}.tl"), text)),
            None => {
                let known: Vec<&str> = Self::names().collect();
                Err(format!("architecture `{name}` is unknown: known are {}; give its program with --arch FILE.tl", known.join(", ")))
            }
        }
    }

    pub fn names() -> impl Iterator<Item = &'static str> {
        EMBEDDED.iter().map(|(name, _)| *name)
    }
}

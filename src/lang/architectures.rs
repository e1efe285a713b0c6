//! Which program runs a model: by `general.architecture`.

/// `general.architecture`, the name of its program, and the text.
const EMBEDDED: &[(&str, &str, &str)] = &[
    ("afmoe", "afmoe", include_str!("std/afmoe.tl")),
    ("apertus", "apertus", include_str!("std/apertus.tl")),
    ("arcee", "arcee", include_str!("std/arcee.tl")),
    ("chatglm", "chatglm", include_str!("std/chatglm.tl")),
    ("cohere2", "cohere2", include_str!("std/cohere2.tl")),
    ("command-r", "command-r", include_str!("std/command-r.tl")),
    ("dots1", "dots1", include_str!("std/dots1.tl")),
    ("ernie4_5", "ernie4_5", include_str!("std/ernie4_5.tl")),
    ("ernie4_5-moe", "ernie4_5", include_str!("std/ernie4_5.tl")),
    ("exaone4", "exaone4", include_str!("std/exaone4.tl")),
    ("falcon", "falcon", include_str!("std/falcon.tl")),
    ("gemma", "gemma", include_str!("std/gemma.tl")),
    ("gemma2", "gemma2", include_str!("std/gemma2.tl")),
    ("gemma3", "gemma3", include_str!("std/gemma3.tl")),
    ("glm4", "glm4", include_str!("std/glm4.tl")),
    ("glm4moe", "glm4moe", include_str!("std/glm4moe.tl")),
    ("gpt-oss", "gpt-oss", include_str!("std/gpt-oss.tl")),
    ("gpt2", "gpt2", include_str!("std/gpt2.tl")),
    ("gptneox", "gptneox", include_str!("std/gptneox.tl")),
    ("granite", "granite", include_str!("std/granite.tl")),
    ("granite_swa", "granite", include_str!("std/granite.tl")),
    ("granitemoe", "granite", include_str!("std/granite.tl")),
    ("hunyuan-dense", "hunyuan-dense", include_str!("std/hunyuan-dense.tl")),
    ("hunyuan-moe", "hunyuan-dense", include_str!("std/hunyuan-dense.tl")),
    ("llama", "llama", include_str!("std/llama.tl")),
    ("minimax-m2", "minimax-m2", include_str!("std/minimax-m2.tl")),
    ("mistral3", "mistral3", include_str!("std/mistral3.tl")),
    ("nemotron", "nemotron", include_str!("std/nemotron.tl")),
    ("olmo", "olmo", include_str!("std/olmo.tl")),
    ("olmo2", "olmo2", include_str!("std/olmo2.tl")),
    ("olmoe", "olmoe", include_str!("std/olmoe.tl")),
    ("phi2", "phi2", include_str!("std/phi2.tl")),
    ("phi3", "phi3", include_str!("std/phi3.tl")),
    ("qwen2", "qwen2", include_str!("std/qwen2.tl")),
    ("qwen2moe", "qwen2", include_str!("std/qwen2.tl")),
    ("qwen3", "qwen3", include_str!("std/qwen3.tl")),
    ("qwen3moe", "qwen3", include_str!("std/qwen3.tl")),
    ("seed_oss", "seed_oss", include_str!("std/seed_oss.tl")),
    ("smollm3", "smollm3", include_str!("std/smollm3.tl")),
    ("stablelm", "stablelm", include_str!("std/stablelm.tl")),
    ("starcoder", "gpt2", include_str!("std/gpt2.tl")),
    ("starcoder2", "starcoder2", include_str!("std/starcoder2.tl")),
];

/// The programs of the architectures that the engine knows.
pub struct Architectures;

impl Architectures {
    /// The file name, for diagnostics, and the text of an architecture's program.
    ///
    /// # Errors
    /// A sentence that names the architecture, those that are known, and the flag.
    pub fn find(name: &str) -> Result<(String, &'static str), String> {
        match EMBEDDED.iter().find(|(n, _, _)| *n == name) {
            Some((_, program, text)) => Ok((format!("std/{program}.tl"), text)),
            None => {
                let known: Vec<&str> = Self::names().collect();
                Err(format!("architecture `{name}` is unknown: known are {}; give its program with --arch FILE.tl", known.join(", ")))
            }
        }
    }

    pub fn names() -> impl Iterator<Item = &'static str> {
        EMBEDDED.iter().map(|(name, _, _)| *name)
    }
}

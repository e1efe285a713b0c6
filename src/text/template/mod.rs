//! Chat templates: a conversation rendered to the text that a model was trained on, as Hugging Face's `apply_chat_template` renders it.
//!
//! The engine is minijinja, set up as transformers sets up jinja2: `trim_blocks`, `lstrip_blocks`, loop controls, Python's string methods,
//! `raise_exception`, `strftime_now`, a `tojson` like `json.dumps`. A template comes with a model's file and is not trusted: see `limits` and `guard`.

mod clock;
mod engine;
mod guard;
mod kinds;
mod limits;
mod methods;
mod ordered;
mod provenance;
mod python;
mod stops;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use thiserror::Error;

pub use clock::Clock;
pub use provenance::Prompt;
pub use stops::Stops;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
}

impl Message {
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }
}

/// What a rendering needs beside the messages.
#[derive(Clone, Debug, Default)]
pub struct RenderContext {
    /// Whether the text is to end where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// The texts of BOS and EOS, undefined in the template where they are `None`.
    pub bos_token: Option<String>,
    pub eos_token: Option<String>,
    /// Further variables, such as `enable_thinking`.
    pub variables: Map<String, Value>,
    pub clock: Clock,
}

/// A template that has been parsed.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
}

#[derive(Debug, Error, PartialEq)]
pub enum TemplateError {
    #[error("the chat template cannot be parsed: {0}")]
    Syntax(String),
    /// The template called `raise_exception`.
    #[error("the chat template refuses this conversation: {0}")]
    Raised(String),
    #[error("the chat template failed: {0}")]
    Failed(String),
    #[error("the chat template {0}; use another with --template FILE")]
    Limit(String),
}

/// ChatML, the form that most models without a template of their own were trained on.
const DEFAULT: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

impl Default for ChatTemplate {
    /// The stated default for files without a template: ChatML.
    fn default() -> ChatTemplate {
        ChatTemplate { source: DEFAULT.to_string() }
    }
}

impl ChatTemplate {
    /// Parses a template as it stands in a file's `tokenizer.chat_template`.
    pub fn from_source(source: &str) -> Result<ChatTemplate, TemplateError> {
        engine::check(source)?;
        Ok(ChatTemplate { source: source.to_string() })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as text.
    pub fn render(&self, messages: &[Message], context: &RenderContext) -> Result<String, TemplateError> {
        engine::render(&self.source, messages, context)
    }

    /// The conversation as text, with the parts of it that came from the messages: what `Tokenizer::encode_chat` takes.
    pub fn render_prompt(&self, messages: &[Message], context: &RenderContext) -> Result<Prompt, TemplateError> {
        provenance::render(&self.source, messages, context)
    }

    /// Whether the template itself leaves the thinking of earlier answers out.
    pub fn drops_thinking(&self, context: &RenderContext) -> bool {
        const THOUGHT: &str = "tl-thought";
        let answer = format!("<think>\n{THOUGHT}\n</think>\n\ntl-answer");
        let messages = [Message::new("user", "a"), Message::new("assistant", answer), Message::new("user", "b")];
        self.render(&messages, context).is_ok_and(|text| !text.contains(THOUGHT) && text.contains("tl-answer"))
    }
}

//! Text in and out of a model: tokenizer, chat templates, thinking parts, sampling parameters.

mod from_file;
pub mod sampling;
pub mod template;
pub mod think;
pub mod tokenizer;

pub use sampling::{SamplingOverrides, SamplingParams};
pub use template::{ChatTemplate, Message, Prompt, RenderContext, Stops, TemplateError};
pub use think::{AnswerPart, ThinkFilter, without_thinking};
pub use tokenizer::{Decoder, Specials, Texts, TokenId, Tokenizer, TokenizerError, VocabSpec};

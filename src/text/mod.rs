pub mod template;
pub mod think;
pub mod tokenizer;

pub use template::{ChatTemplate, Message, Prompt, RenderContext, TemplateError};
pub use think::{AnswerPart, ThinkFilter, without_thinking};
pub use tokenizer::{Decoder, Specials, TokenId, Tokenizer, TokenizerError, VocabSpec};

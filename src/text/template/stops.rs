//! What ends an answer, as the template writes the end of one.

use super::{ChatTemplate, Message, RenderContext};
use crate::text::{Specials, TokenId, Tokenizer};

/// Beside the vocabulary's own end tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    pub ids: Vec<TokenId>,
    /// For vocabularies that have no token for the template's end mark, or templates that end an answer by the next question's heading.
    pub texts: Vec<String>,
}

impl ChatTemplate {
    /// What the template writes after an answer: its end mark if it has one, else the heading of what follows. Found by rendering.
    pub fn stops(&self, tokenizer: &Tokenizer, context: &RenderContext) -> Stops {
        let mut stops = Stops::default();
        let Some(mark) = self.end_mark(context) else { return stops };
        let ids = tokenizer.encode(&mark, Specials::Parsed, false);
        match ids.iter().find(|&&id| tokenizer.token_text(id) != Some("▁")) {
            Some(&id) if tokenizer.is_special(id) => {
                if Some(id) != tokenizer.bos() || Some(id) == tokenizer.eos() {
                    stops.ids.push(id);
                }
            }
            _ => stops.texts.push(mark),
        }
        stops
    }

    fn end_mark(&self, context: &RenderContext) -> Option<String> {
        const ANSWER: &str = "tl-answer";
        const QUESTION: &str = "tl-question";
        let context = RenderContext { add_generation_prompt: false, ..context.clone() };
        let mut messages = vec![Message::new("user", "a"), Message::new("assistant", ANSWER)];
        let rendered = self.render(&messages, &context).ok();
        let end = rendered.as_deref().and_then(|text| text.rsplit_once(ANSWER)).map(|(_, end)| end.trim());
        if let Some(end) = end.filter(|end| !end.is_empty()) {
            return Some(end.to_string());
        }
        messages.push(Message::new("user", QUESTION));
        let rendered = self.render(&messages, &context).ok()?;
        let between = rendered.rsplit_once(ANSWER)?.1.rsplit_once(QUESTION)?.0.trim();
        (!between.is_empty()).then(|| between.lines().next().unwrap_or(between).to_string())
    }
}

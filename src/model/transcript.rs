//! A conversation as text and as ids: what is held of it is not made again, so that a turn costs what is new in it.

use std::sync::Arc;

use crate::text::{ChatTemplate, Message, Prompt, RenderContext, TemplateError, TokenId, Tokenizer};

/// Messages that are rendered for a turn: when they are more, only the last [`KEPT`] are rendered from then on.
const MOST_RENDERED: usize = 32;
const KEPT: usize = 8;

/// The messages, and the text and ids that the last answer was given to.
pub(super) struct Transcript {
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    render: RenderContext,
    system: Option<String>,
    messages: Vec<Message>,
    /// Renderings begin with this message. Those before it are in the ids that are held.
    base: usize,
    held: Option<Held>,
}

struct Held {
    /// The rendering from `base` on, and the answer as it was drawn.
    text: String,
    /// The ids of the whole conversation as they were fed and drawn.
    ids: Vec<TokenId>,
    /// Whether the ids hold no more than the text.
    is_whole: bool,
    mark: Option<Mark>,
}

/// The last special token of a prompt: what follows has the same ids whatever stands before it.
#[derive(Clone, Copy)]
struct Mark {
    /// Where it begins in the text.
    byte: usize,
    /// The ids before it.
    n_ids: usize,
}

/// A conversation to be answered.
pub(super) struct Rendered {
    /// The end of its text: all of it, or what [`Transcript`] renders of a long one.
    pub text: String,
    /// All of its ids.
    pub ids: Vec<TokenId>,
    mark: Option<Mark>,
}

impl Transcript {
    pub fn new(tokenizer: Arc<Tokenizer>, template: ChatTemplate, render: RenderContext, system: Option<String>) -> Self {
        Transcript { tokenizer, template, render, system, messages: Vec::new(), base: 0, held: None }
    }

    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    pub fn set_system(&mut self, system: Option<String>) {
        self.system = system;
        self.forget();
    }

    pub fn replace(&mut self, messages: Vec<Message>) {
        self.messages = messages;
        self.forget();
    }

    pub fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    pub fn pop(&mut self) -> Option<Message> {
        self.messages.pop()
    }

    /// Takes out the messages before `first`.
    pub fn drop_before(&mut self, first: usize) -> Vec<Message> {
        self.forget();
        self.messages.drain(..first).collect()
    }

    /// Puts messages back in front.
    pub fn restore(&mut self, mut dropped: Vec<Message>) {
        dropped.append(&mut self.messages);
        self.replace(dropped);
    }

    /// Renders and encodes all of the conversation the next time.
    pub fn forget(&mut self) {
        self.base = 0;
        self.held = None;
    }

    /// The conversation up to where the answer begins. What the last answer's ids were is kept: text that a model draws need not encode to the
    /// same ids again. They are given away, until [`Transcript::answered`] gives them back.
    pub fn prompt(&mut self) -> Result<Rendered, TemplateError> {
        let prompt = self.rendered(self.base)?;
        // The ids are moved, not copied: a long conversation has many.
        if let Some(mut held) = self.held.take()
            && let Some(Mark { byte, n_ids }) = held.prefix_of(&prompt.text)
        {
            held.ids.truncate(n_ids);
            return Ok(self.encoded(prompt, byte, held.ids));
        }
        let prompt = if self.base > 0 { self.rendered(0)? } else { prompt };
        self.forget();
        Ok(self.encoded(prompt, 0, Vec::new()))
    }

    /// The same for the messages from `first` on, which holds nothing.
    pub fn prompt_from(&self, first: usize) -> Result<Rendered, TemplateError> {
        Ok(self.encoded(self.rendered(first)?, 0, Vec::new()))
    }

    /// Records an answer to `rendered`: the ids that were drawn, its text as it was drawn, and as the conversation keeps it. `is_whole`: the ids
    /// hold no more than the text.
    pub fn answered(&mut self, rendered: Rendered, drawn: &[TokenId], raw: &str, is_whole: bool, kept: String) {
        let Rendered { text, mut ids, mark } = rendered;
        ids.extend(drawn);
        let (text, mark) = self.rebased(text, mark);
        self.held = Some(Held { text: text + raw, ids, is_whole, mark });
        self.messages.push(Message::new("assistant", kept));
    }

    fn rendered(&self, first: usize) -> Result<Prompt, TemplateError> {
        let system = self.system.iter().map(|s| Message::new("system", s.clone()));
        let messages: Vec<Message> = system.chain(self.messages[first..].iter().cloned()).collect();
        self.template.render_prompt(&messages, &self.render)
    }

    /// A prompt whose text before `start` has the ids that are given.
    fn encoded(&self, prompt: Prompt, start: usize, mut ids: Vec<TokenId>) -> Rendered {
        let encode = |from: usize| {
            let later = prompt.messages.iter().filter(|r| r.end > from).map(|r| r.start.max(from) - from..r.end - from).collect::<Vec<_>>();
            let text = &prompt.text[from..];
            if from == 0 { self.tokenizer.encode_chat(text, &later) } else { self.tokenizer.encode_chat_continuation(text, &later) }
        };
        ids.extend(encode(start));
        let later = prompt.messages.iter().filter(|r| r.end > start).map(|r| r.start.max(start) - start..r.end - start).collect::<Vec<_>>();
        let special = self.tokenizer.last_special(&prompt.text[start..], &later).map(|at| start + at).filter(|&byte| byte > 0);
        let mark = special.map(|byte| Mark { byte, n_ids: ids.len() - encode(byte).len() });
        Rendered { text: prompt.text, ids, mark }
    }

    /// Has the following renderings begin later, where many messages are rendered, and gives the text from there on. It does so only where the
    /// template writes the latest messages alike with and without those before them, which it shows for half of the messages that are kept.
    fn rebased(&mut self, text: String, mark: Option<Mark>) -> (String, Option<Mark>) {
        if self.messages.len() - self.base <= MOST_RENDERED {
            return (text, mark);
        }
        let Some(base) = (self.messages.len() - KEPT..self.messages.len()).find(|&i| self.messages[i].role == "user") else {
            return (text, mark);
        };
        let Ok(shorter) = self.rendered(base) else { return (text, mark) };
        let n_alike = text.bytes().rev().zip(shorter.text.bytes().rev()).take_while(|(a, b)| a == b).count();
        let mut cut = shorter.text.len() - n_alike;
        while !shorter.text.is_char_boundary(cut) {
            cut += 1;
        }
        let half = shorter.messages.get(shorter.messages.len() / 2).map_or(0, |range| range.start);
        if cut > half || text.len() < shorter.text.len() || !text.starts_with(&shorter.text[..cut]) {
            return (text, mark);
        }
        let n_cut = text.len() - shorter.text.len();
        let mark = mark.filter(|mark| mark.byte >= n_cut + cut).map(|mark| Mark { byte: mark.byte - n_cut, ..mark });
        self.base = base;
        (shorter.text, mark)
    }
}

impl Held {
    /// How far a rendering goes on from what is held.
    fn prefix_of(&self, text: &str) -> Option<Mark> {
        if self.is_whole && text.starts_with(&self.text) {
            return Some(Mark { byte: self.text.len(), n_ids: self.ids.len() });
        }
        // The template may write an answer otherwise than it was drawn, without its thinking for one.
        self.mark.filter(|mark| text.starts_with(&self.text[..mark.byte]))
    }
}

//! A conversation: renders it, keeps what the cache holds of it, and streams answers.

use std::ops::ControlFlow;
use std::rc::Rc;

use crate::graph::Sampling;
use crate::text::{
    AnswerPart, ChatTemplate, Message, RenderContext, Stops, TemplateError, ThinkFilter, TokenId, Tokenizer, without_thinking,
};

use super::context::Context;
use super::generate::{Finish, GenerateError, Generator, StepPrograms, Timing};
use super::stop_filter::StopFilter;

/// Why a turn got no answer. The conversation is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ChatError<E: std::error::Error + 'static> {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("the message has {tokens} tokens, the window {window}: shorten it, or give a larger --ctx")]
    MessageTooLong { tokens: usize, window: usize },
    #[error("there is no answer to give again yet")]
    NothingToRegenerate,
    #[error(transparent)]
    Engine(E),
}

/// What happens during a turn, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatEvent {
    /// The oldest turns no longer fit and were dropped.
    Dropped { n_turns: usize },
    /// Tokens of the prompt fed so far.
    Prefill { fed: usize, total: usize },
    /// Whole characters of the answer or of the thinking before it.
    Text(AnswerPart),
}

/// A finished turn.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As the model gave it, thinking included.
    pub text: String,
    pub finish: Finish,
    pub timing: Timing,
}

/// How answers are drawn.
#[derive(Clone, Copy, Debug)]
pub struct ChatSettings {
    pub sampling: Sampling,
    pub max_tokens: usize,
}

/// A conversation with one model.
pub struct ChatSession<P: StepPrograms> {
    generator: Generator<P>,
    tokenizer: Rc<Tokenizer>,
    template: ChatTemplate,
    render: RenderContext,
    stops: Stops,
    keeps_thinking: bool,
    pub settings: ChatSettings,
    system: Option<String>,
    messages: Vec<Message>,
    /// The text up to the end of the last answer, and its ids as they were fed and drawn.
    held_text: String,
    held_ids: Vec<TokenId>,
}

impl<P: StepPrograms> ChatSession<P>
where
    P::Error: From<GenerateError> + std::error::Error + 'static,
{
    pub fn new(
        generator: Generator<P>,
        tokenizer: Rc<Tokenizer>,
        template: ChatTemplate,
        settings: ChatSettings,
        system: Option<String>,
    ) -> Self {
        let render = RenderContext::for_tokenizer(&tokenizer);
        let stops = template.stops(&tokenizer, &render);
        let keeps_thinking = template.drops_thinking(&render);
        ChatSession {
            generator,
            tokenizer,
            template,
            render,
            stops,
            keeps_thinking,
            settings,
            system,
            messages: Vec::new(),
            held_text: String::new(),
            held_ids: Vec::new(),
        }
    }

    /// Tokens of the rendered system block: what the ring keeps as sinks by default. A template may want a question with it; what stands before
    /// the question is the block then.
    ///
    /// # Errors
    /// When the template refuses a system message, with a question too.
    pub fn system_len(tokenizer: &Tokenizer, template: &ChatTemplate, system: &str) -> Result<usize, TemplateError> {
        let render = RenderContext { add_generation_prompt: false, ..RenderContext::for_tokenizer(tokenizer) };
        const QUESTION: &str = "tl-question";
        let messages = [Message::new("system", system), Message::new("user", QUESTION)];
        if let Ok(alone) = template.render_prompt(&messages[..1], &render) {
            return Ok(tokenizer.encode_chat(&alone.text, &alone.messages).len());
        }
        let asked = template.render_prompt(&messages, &render)?;
        let end = asked.text.rfind(QUESTION).unwrap_or(0);
        let within: Vec<_> = asked.messages.into_iter().filter(|part| part.end <= end).collect();
        Ok(tokenizer.encode_chat(&asked.text[..end], &within).len())
    }

    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    pub fn context(&self) -> &Context {
        self.generator.context()
    }

    pub fn generator(&self) -> &Generator<P> {
        &self.generator
    }

    pub fn generator_mut(&mut self) -> &mut Generator<P> {
        &mut self.generator
    }

    /// Forgets the messages; the system message stays.
    pub fn clear(&mut self) {
        self.replace(Vec::new());
    }

    /// Sets another system message, for the whole conversation.
    pub fn set_system(&mut self, system: Option<String>) {
        self.system = system;
        self.held_text.clear();
    }

    /// Goes on with another conversation.
    pub fn replace(&mut self, messages: Vec<Message>) {
        self.messages = messages;
        self.held_text.clear();
    }

    /// Answers `text`. Whatever the cache holds of the conversation is not computed again.
    ///
    /// # Errors
    /// See [`ChatError`]; the conversation is then as it was.
    pub fn ask(&mut self, text: &str, on_event: impl FnMut(ChatEvent) -> ControlFlow<()>) -> Result<Answer, ChatError<P::Error>> {
        let before = self.messages.clone();
        self.messages.push(Message::new("user", text));
        let answer = self.answer(on_event);
        if answer.is_err() {
            self.replace(before);
        }
        answer
    }

    /// Answers the last message again, with the next seed.
    ///
    /// # Errors
    /// When nothing was answered yet, and those of `ask`.
    pub fn regenerate(&mut self, on_event: impl FnMut(ChatEvent) -> ControlFlow<()>) -> Result<Answer, ChatError<P::Error>> {
        if self.messages.last().is_none_or(|m| m.role != "assistant") {
            return Err(ChatError::NothingToRegenerate);
        }
        let before = self.messages.clone();
        self.messages.pop();
        self.held_text.clear();
        self.settings.sampling.seed = self.settings.sampling.seed.wrapping_add(1);
        let answer = self.answer(on_event);
        if answer.is_err() {
            self.replace(before);
        }
        answer
    }

    fn answer(&mut self, mut on_event: impl FnMut(ChatEvent) -> ControlFlow<()>) -> Result<Answer, ChatError<P::Error>> {
        let (prompt_text, ids, keep) = self.prepare(&mut on_event)?;
        let mut drawn = Vec::new();
        let mut raw = String::new();
        let mut decoder = self.tokenizer.decoder();
        let mut think = ThinkFilter::after(&prompt_text);
        let mut stop = StopFilter::new(self.stops.texts.clone());
        let (tokenizer, stop_ids) = (self.tokenizer.clone(), self.stops.ids.clone());
        let total = ids.len() - keep;
        let on_event = std::cell::RefCell::new(on_event);
        let emit = |parts: Vec<AnswerPart>| parts.into_iter().try_for_each(|part| on_event.borrow_mut()(ChatEvent::Text(part)));
        let (mut finish, timing) = self
            .generator
            .generate(
                &ids[keep..],
                self.settings.sampling,
                self.settings.max_tokens,
                |id| tokenizer.is_eog(id) || stop_ids.contains(&id),
                |fed| on_event.borrow_mut()(ChatEvent::Prefill { fed, total }),
                |id| {
                    drawn.push(id);
                    let Some(piece) = decoder.push(id) else { return ControlFlow::Continue(()) };
                    let free = stop.push(&piece);
                    raw.push_str(&free);
                    let flow = emit(think.push(&free));
                    if stop.is_stopped() { ControlFlow::Break(()) } else { flow }
                },
            )
            .map_err(ChatError::Engine)?;
        if stop.is_stopped() {
            finish = Finish::Stop;
        } else {
            let rest = decoder.finish().map(|piece| stop.push(&piece)).unwrap_or_default() + &stop.finish();
            raw.push_str(&rest);
            let _ = emit(think.push(&rest));
        }
        let _ = emit(think.finish().into_iter().collect());
        self.held_ids = ids;
        self.held_ids.extend(drawn);
        // The ids of an answer that ended at a text hold more than the answer.
        self.held_text = if stop.is_stopped() { String::new() } else { prompt_text + &raw };
        let kept = if self.keeps_thinking { raw.clone() } else { without_thinking(&raw).to_owned() };
        self.messages.push(Message::new("assistant", kept));
        Ok(Answer { text: raw, finish, timing })
    }

    /// The prompt's text and ids, and how many of them the cache holds already; the position is set back to there.
    fn prepare(
        &mut self,
        on_event: &mut impl FnMut(ChatEvent) -> ControlFlow<()>,
    ) -> Result<(String, Vec<TokenId>, usize), ChatError<P::Error>> {
        let window = self.generator.context().spec().window;
        let mut n_dropped = 0;
        loop {
            let (text, ids) = self.prompt()?;
            // At least one token is fed, so that there are logits to draw from.
            let keep = self.generator.context().common_prefix(&ids).min(ids.len().saturating_sub(1));
            if self.generator.context().can_rewind_to(keep) && ids.len() - keep <= window && (keep > 0 || ids.len() <= window) {
                self.generator.context_mut().rewind_to(keep);
                if n_dropped > 0 {
                    let _ = on_event(ChatEvent::Dropped { n_turns: n_dropped });
                }
                return Ok((text, ids, keep));
            }
            if ids.len() <= window {
                // What the cache holds diverges where it can no longer be set back to.
                self.generator.context_mut().clear();
                continue;
            }
            // The oldest turn: a question and its answer.
            let first_turn = self.messages.iter().skip(1).position(|m| m.role == "user").map(|i| i + 1);
            match first_turn {
                Some(end) => {
                    self.messages.drain(..end);
                    self.held_text.clear();
                    n_dropped += 1;
                }
                None => return Err(ChatError::MessageTooLong { tokens: ids.len(), window }),
            }
        }
    }

    /// The whole conversation as text and ids. What the last answer's ids were is kept: text that a model draws need not encode to the
    /// same ids again.
    fn prompt(&self) -> Result<(String, Vec<TokenId>), TemplateError> {
        let system = self.system.iter().map(|s| Message::new("system", s.clone()));
        let messages: Vec<Message> = system.chain(self.messages.iter().cloned()).collect();
        let prompt = self.template.render_prompt(&messages, &self.render)?;
        let held = self.held_text.len();
        if held > 0 && prompt.text.starts_with(&self.held_text) {
            let later = prompt.messages.iter().filter(|r| r.end > held).map(|r| r.start.max(held) - held..r.end - held).collect::<Vec<_>>();
            let mut ids = self.held_ids.clone();
            ids.extend(self.tokenizer.encode_chat_continuation(&prompt.text[held..], &later));
            return Ok((prompt.text, ids));
        }
        let ids = self.tokenizer.encode_chat(&prompt.text, &prompt.messages);
        Ok((prompt.text, ids))
    }
}

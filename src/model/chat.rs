//! A conversation: renders it, keeps what the cache holds of it, and streams answers.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::graph::Sampling;
use crate::text::{
    AnswerPart, ChatTemplate, Message, RenderContext, Stops, TemplateError, ThinkFilter, TokenId, Tokenizer, without_thinking,
};

use super::context::Context;
use super::generate::{Finish, GenerateError, Generator, StepPrograms, Timing};
use super::stop_filter::StopFilter;
use super::transcript::{Rendered, Transcript};

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

impl Default for ChatSettings {
    /// Greedy answers of up to 2,048 tokens.
    fn default() -> Self {
        ChatSettings { sampling: Sampling::default(), max_tokens: 2048 }
    }
}

/// A conversation with one model.
pub struct ChatSession<P: StepPrograms> {
    generator: Generator<P>,
    tokenizer: Arc<Tokenizer>,
    transcript: Transcript,
    stops: Stops,
    keeps_thinking: bool,
    pub settings: ChatSettings,
}

/// What a turn feeds.
struct Turn {
    prompt: Rendered,
    /// How many of its ids the cache holds already.
    keep: usize,
    /// The oldest messages, which no longer fit.
    dropped: Vec<Message>,
}

impl<P: StepPrograms> ChatSession<P>
where
    P::Error: From<GenerateError> + std::error::Error + 'static,
{
    pub fn new(
        generator: Generator<P>,
        tokenizer: Arc<Tokenizer>,
        template: ChatTemplate,
        settings: ChatSettings,
        system: Option<String>,
    ) -> Self {
        let render = RenderContext::for_tokenizer(&tokenizer);
        let stops = template.stops(&tokenizer, &render);
        let keeps_thinking = template.drops_thinking(&render);
        let transcript = Transcript::new(tokenizer.clone(), template, render, system);
        ChatSession { generator, tokenizer, transcript, stops, keeps_thinking, settings }
    }

    /// Tokens of the rendered system block: what the cache keeps as sinks by default. A template may want a question with it; what stands before
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
        self.transcript.messages()
    }

    pub fn system(&self) -> Option<&str> {
        self.transcript.system()
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

    /// Texts that end an answer besides those of the template; they are no part of it. An empty one ends nothing.
    pub fn stop_at(&mut self, texts: impl IntoIterator<Item = String>) {
        self.stops.texts.extend(texts.into_iter().filter(|text| !text.is_empty()));
    }

    /// Goes on with another generator of the same model, on a device that was opened again where the first one was lost: what was said is computed anew
    /// by the next answer. Drafts are set anew, too.
    pub fn go_on_with(&mut self, generator: Generator<P>) {
        self.generator = generator;
    }

    /// Forgets the messages; the system message stays.
    pub fn clear(&mut self) {
        self.replace(Vec::new());
    }

    /// Sets another system message, for the whole conversation.
    pub fn set_system(&mut self, system: Option<String>) {
        self.transcript.set_system(system);
    }

    /// Goes on with another conversation.
    pub fn replace(&mut self, messages: Vec<Message>) {
        self.transcript.replace(messages);
    }

    /// Answers `text`. Whatever the cache holds of the conversation is not computed again.
    ///
    /// # Errors
    /// See [`ChatError`]; the conversation is then as it was.
    pub fn ask(&mut self, text: &str, on_event: impl FnMut(ChatEvent) -> ControlFlow<()>) -> Result<Answer, ChatError<P::Error>> {
        self.transcript.push(Message::new("user", text));
        let answer = self.answer(on_event);
        if answer.is_err() {
            self.transcript.pop();
            self.transcript.forget();
        }
        answer
    }

    /// Answers the last message again, with the next seed.
    ///
    /// # Errors
    /// When nothing was answered yet, and those of `ask`.
    pub fn regenerate(&mut self, on_event: impl FnMut(ChatEvent) -> ControlFlow<()>) -> Result<Answer, ChatError<P::Error>> {
        if self.messages().last().is_none_or(|m| m.role != "assistant") {
            return Err(ChatError::NothingToRegenerate);
        }
        let before = self.transcript.pop();
        self.settings.sampling.seed = self.settings.sampling.seed.wrapping_add(1);
        let answer = self.answer(on_event);
        if answer.is_err() {
            before.into_iter().for_each(|message| self.transcript.push(message));
            self.transcript.forget();
        }
        answer
    }

    fn answer(&mut self, mut on_event: impl FnMut(ChatEvent) -> ControlFlow<()>) -> Result<Answer, ChatError<P::Error>> {
        let Turn { prompt, keep, dropped } = self.prepare(&mut on_event)?;
        let mut drawn = Vec::new();
        let mut raw = String::new();
        let mut decoder = self.tokenizer.decoder();
        let mut think = ThinkFilter::after(&prompt.text);
        let mut stop = StopFilter::new(self.stops.texts.clone());
        let (tokenizer, stop_ids) = (self.tokenizer.clone(), self.stops.ids.clone());
        let total = prompt.ids.len() - keep;
        let on_event = std::cell::RefCell::new(on_event);
        let emit = |parts: Vec<AnswerPart>| parts.into_iter().try_for_each(|part| on_event.borrow_mut()(ChatEvent::Text(part)));
        let generated = self.generator.generate(
            &prompt.ids[keep..],
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
        );
        let (mut finish, timing) = match generated {
            Ok(generated) => generated,
            Err(error) => {
                self.transcript.restore(dropped);
                return Err(ChatError::Engine(error));
            }
        };
        if stop.is_stopped() {
            finish = Finish::Stop;
        } else {
            let rest = decoder.finish().map(|piece| stop.push(&piece)).unwrap_or_default() + &stop.finish();
            raw.push_str(&rest);
            let _ = emit(think.push(&rest));
        }
        let _ = emit(think.finish().into_iter().collect());
        // The ids of an answer that ended at a text hold more than the answer.
        let is_whole = !stop.is_stopped();
        let kept = if self.keeps_thinking { raw.clone() } else { without_thinking(&raw).to_owned() };
        self.transcript.answered(prompt, &drawn, &raw, is_whole, kept);
        Ok(Answer { text: raw, finish, timing })
    }

    /// The prompt, and how many of its ids the cache holds already; the position is set back to there. Where all of it does not fit, the oldest
    /// turns, each a question with its answer, are dropped.
    fn prepare(&mut self, on_event: &mut impl FnMut(ChatEvent) -> ControlFlow<()>) -> Result<Turn, ChatError<P::Error>> {
        let prompt = self.transcript.prompt()?;
        if self.can_feed(&prompt.ids) {
            let keep = self.keep(&prompt.ids);
            return Ok(Turn { prompt, keep, dropped: Vec::new() });
        }
        let firsts: Vec<usize> = (1..self.messages().len()).filter(|&i| self.messages()[i].role == "user").collect();
        // Fewer messages make a shorter prompt, so the first beginning that fits is found by halving.
        let mut found: Option<(usize, Rendered)> = None;
        let mut n_tokens = prompt.ids.len();
        let (mut low, mut high) = (0, firsts.len());
        while low < high {
            // The shortest comes first: if it does not fit, nothing does.
            let middle = if found.is_none() { high - 1 } else { (low + high) / 2 };
            let shorter = self.transcript.prompt_from(firsts[middle])?;
            if self.can_feed(&shorter.ids) {
                found = Some((middle, shorter));
                high = middle;
            } else if found.is_none() {
                n_tokens = shorter.ids.len();
                break;
            } else {
                low = middle + 1;
            }
        }
        let Some((n_turns, prompt)) = found else {
            return Err(ChatError::MessageTooLong { tokens: n_tokens, window: self.generator.context().spec().window });
        };
        let dropped = self.transcript.drop_before(firsts[n_turns]);
        let keep = self.keep(&prompt.ids);
        let _ = on_event(ChatEvent::Dropped { n_turns: n_turns + 1 });
        Ok(Turn { prompt, keep, dropped })
    }

    /// Whether a prompt can be fed: behind what the cache holds of it, or from the start.
    fn can_feed(&self, ids: &[TokenId]) -> bool {
        let window = self.generator.context().spec().window;
        ids.len() <= window || self.held(ids).is_some_and(|keep| keep > 0 && ids.len() - keep <= window)
    }

    /// How many of a prompt's ids the cache holds, where it can be set back to there. At least one is left to feed, so that there are logits to
    /// draw from.
    fn held(&self, ids: &[TokenId]) -> Option<usize> {
        let context = self.generator.context();
        let keep = context.common_prefix(ids).min(ids.len().saturating_sub(1));
        (context.can_rewind_to(keep) && ids.len() - keep <= context.spec().window).then_some(keep)
    }

    /// Sets the cache back to what it holds of a prompt that can be fed, and says how many ids that are.
    fn keep(&mut self, ids: &[TokenId]) -> usize {
        let held = self.held(ids);
        let context = self.generator.context_mut();
        match held {
            Some(keep) => context.rewind_to(keep),
            // What the cache holds diverges where it can no longer be set back to.
            None => context.clear(),
        }
        held.unwrap_or(0)
    }
}

//! Conversations, and how answers are drawn and heard.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::lang::eval::{CallArg, Frame, Signal};
use crate::lang::host::{ChatRequest, EngineChat};
use crate::lang::interp::Interp;
use crate::lang::value::{Fault, Value};
use crate::source::Span;
use crate::text::SamplingOverrides;

use super::args::Args;
use super::models::{engine, said};
use super::{Builtin, Failure, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "chat",
        signature: "chat(model: Model, system: string = none, max_tokens: int = 512, temperature: float = the file's, top_k: int = the file's, \
                    top_p: float = the file's, min_p: float = the file's, repeat_penalty: float = the file's, repeat_last_n: int = the file's, \
                    seed: int = the next) -> Chat",
        section: "model",
        doc: "A conversation: `let c = chat(load_model())`, then `c.say(\"Hello\")` answers. It keeps the messages, and computes only what is new.",
        run: Run::Call(|interp, args| {
            let model = engine(&args, 0)?;
            let system = if args.is_given(1) { Some(args.str(1)?.to_string()) } else { None };
            let max_tokens = if args.is_given(2) { args.count(interp, 2)? } else { 512 };
            let sampling = sampling(interp, &args, 3)?;
            Ok(Value::Chat(model.chat(ChatRequest { system, sampling, max_tokens }).map_err(said(&args, 0))?))
        }),
    },
    Builtin {
        name: "Chat.say",
        signature: "say(chat: Chat, text: string, on_token: fn = none) -> string",
        section: "model",
        doc: "The model's answer to a message. `on_token(text)` is called for each piece of it and ends the answer by returning false.",
        run: Run::Call(|interp, args| {
            let chat = chat(&args)?;
            let text = args.str(1)?;
            let mut listener = Listener::new(&args, 2);
            let answer = chat.say(&text, &mut |piece| listener.hear(interp, piece));
            listener.done()?;
            Ok(Value::str(&answer.map_err(said(&args, 1))?))
        }),
    },
    Builtin {
        name: "Chat.messages",
        signature: "messages(chat: Chat) -> list of (role, text)",
        section: "model",
        doc: "What was said so far, the system message first.",
        run: Run::Call(|_, args| {
            let messages = chat(&args)?.messages();
            Ok(Value::list(messages.iter().map(|(role, text)| Value::tuple(vec![Value::str(role), Value::str(text)])).collect()))
        }),
    },
    Builtin {
        name: "Chat.clear",
        signature: "clear(chat: Chat)",
        section: "model",
        doc: "Forgets all messages but the system message.",
        run: Run::Call(|_, args| chat(&args)?.clear().map(|()| Value::Unit).map_err(said(&args, 0))),
    },
];

fn chat(args: &Args) -> Result<Arc<dyn EngineChat>, Failure> {
    match args.value(0) {
        Value::Chat(chat) => Ok(chat),
        other => {
            Err(args.fail(0, Fault::new(format!("a Chat is needed here, not {}", other.type_name())).hint("write `chat(load_model())`")))
        }
    }
}

/// The settings that stand at `first` and after it: temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed.
pub(super) fn sampling(interp: &mut Interp, args: &Args, first: usize) -> Result<SamplingOverrides, Failure> {
    let mut float = |i: usize| if args.is_given(i) { args.float(interp, i).map(|v| Some(v as f32)) } else { Ok(None) };
    let temperature = float(first)?;
    let (top_p, min_p) = (float(first + 2)?, float(first + 3)?);
    let repeat_penalty = float(first + 4)?;
    let mut count = |i: usize| match args.is_given(i) {
        true => args.count(interp, i).map(|v| Some(u32::try_from(v).unwrap_or(u32::MAX))),
        false => Ok(None),
    };
    let (top_k, repeat_last_n) = (count(first + 1)?, count(first + 5)?);
    let seed = Some(u64::from(args.seed_or_next(interp, first + 6)?));
    Ok(SamplingOverrides { temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed })
}

/// The function of the language that hears an answer as it comes.
pub(super) struct Listener {
    callee: Option<Value>,
    span: Span,
    stopped: Option<Signal>,
}

impl Listener {
    pub fn new(args: &Args, i: usize) -> Listener {
        Listener { callee: args.is_given(i).then(|| args.value(i)), span: args.span, stopped: None }
    }

    /// Hears nothing but Ctrl-C.
    pub fn silent(args: &Args) -> Listener {
        Listener { callee: None, span: args.span, stopped: None }
    }

    /// Calls it with a piece. Ctrl-C ends the answer where there is none to call, too.
    pub fn hear(&mut self, interp: &mut Interp, piece: &str) -> ControlFlow<()> {
        let span = self.span;
        let heard = interp.check_interrupt(span).and_then(|()| match &self.callee {
            None => Ok(Value::Unit),
            Some(callee) => {
                let piece = vec![CallArg::positional(Value::str(piece), span)];
                interp.call_value(&Frame::new(0, None), callee, piece, span, span)
            }
        });
        match heard {
            Ok(Value::Bool(false)) => ControlFlow::Break(()),
            Ok(_) => ControlFlow::Continue(()),
            Err(signal) => {
                self.stopped = Some(signal);
                ControlFlow::Break(())
            }
        }
    }

    /// # Errors
    /// What ended the answer from inside the function.
    pub fn done(self) -> Result<(), Failure> {
        self.stopped.map_or(Ok(()), |signal| Err(Failure::Signal(signal)))
    }
}

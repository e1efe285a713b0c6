//! `tl chat`: one answer, a line a message from a pipe, or a session.

mod prompt;
mod session;
mod typed;

use std::io::{Write, stdin, stdout};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use tensorlogic::engine::{EngineError, ModelSteps, demo};
use tensorlogic::model::{Answer, ChatError, ChatEvent, ChatSession, ChatSettings, StepPrograms};
use tensorlogic::output::FileKind;
use tensorlogic::source::{Line, read_line, skip_line};
use tensorlogic::text::{AnswerPart, ChatTemplate};

use super::args::ChatArgs;
use super::error::{CliError, CliResult};
use super::interrupt;
use super::setup::{load, output};
use super::terminal::{self, Mark};
use super::wrap::Wrap;

type Session = ChatSession<ModelSteps>;

pub fn run(args: &ChatArgs) -> CliResult {
    if let Some(path) = &args.save_default {
        output(path, args.force)?.of_kind(FileKind::GGUF)?.write_bytes(demo::bytes()?)?;
        terminal::note(format_args!("wrote {}", path.display()));
        return Ok(());
    }
    let template = match &args.template {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| CliError::failed(format!("cannot read `{}`: {e}", path.display())))?;
            Some(ChatTemplate::from_source(&text).map_err(CliError::failed)?)
        }
        None => None,
    };
    // A document that cannot be read must not cost the loading of a model.
    let prompt = prompt::of(args)?;
    let backend = args.compute.open()?;
    let model = load(args.model.path(), &backend, &args.compute.load_request(Some(&args.window)))?;
    if template.is_none() && !model.has_template() {
        terminal::note("note: the file has no chat template, ChatML is used; --template FILE gives another");
    }
    let settings = ChatSettings { sampling: model.sampling(&args.sampling.overrides())?, max_tokens: args.max_tokens };
    let mut session = model.chat(template, settings, args.system.clone())?;
    session.stop_at(args.stop.clone());
    args.draft.set(session.generator_mut(), &model, &backend, &args.compute, &args.window)?;
    let interrupt = interrupt::install()?;
    if let Some(prompt) = prompt {
        return Ok(one_answer(&mut session, &prompt, args.stats, &interrupt)?);
    }
    if !terminal::is_interactive() {
        return piped(&mut session, args.stats, &interrupt);
    }
    let mut mark = Mark::new();
    mark.show(&format!("loading {}…", model.config.name));
    session.generator_mut().programs_mut().step(1, 0)?;
    mark.clear();
    session::run(&mut session, &model, args, &interrupt)
}

fn one_answer(session: &mut Session, prompt: &str, stats: bool, interrupt: &AtomicBool) -> Result<(), TurnError> {
    let answer = ask(session, prompt, interrupt)?;
    if stats {
        terminal::error(stats_line(session, &answer));
    }
    Ok(())
}

/// A message of more bytes is refused before it is looked at.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// One message a line, answered in turn. A message that gets no answer is said and shows in the exit code; those after it are answered.
fn piped(session: &mut Session, stats: bool, interrupt: &AtomicBool) -> CliResult {
    let cannot = |e| CliError::failed(format!("cannot read standard input: {e}"));
    let mut input = stdin().lock();
    let mut failed = false;
    for line_nr in 1.. {
        let wrong = match read_line(&mut input, MESSAGE_BYTES_MAX).map_err(cannot)? {
            Line::End => break,
            Line::Text(line) if line.trim().is_empty() => continue,
            Line::Text(line) => match one_answer(session, &line, stats, interrupt) {
                Ok(()) => continue,
                Err(TurnError::Refused(why)) => why,
                Err(TurnError::Failed(error)) => return Err(error),
            },
            Line::TooLong => {
                skip_line(&mut input).map_err(cannot)?;
                format!("it has more than {MESSAGE_BYTES_MAX} bytes")
            }
            Line::NotText { at } => format!("byte {at} is no UTF-8 text"),
        };
        if let (Some(text), _) = CliError::failed(format!("line {line_nr} of standard input got no answer: {wrong}")).report() {
            terminal::error(text);
        }
        failed = true;
    }
    if failed { Err(CliError::Silent) } else { Ok(()) }
}

/// Why a turn got no answer.
enum TurnError {
    /// The conversation can go on with another message.
    Refused(String),
    Failed(CliError),
}

impl From<TurnError> for CliError {
    fn from(error: TurnError) -> Self {
        match error {
            TurnError::Refused(why) => CliError::failed(why),
            TurnError::Failed(error) => error,
        }
    }
}

impl From<std::io::Error> for TurnError {
    fn from(error: std::io::Error) -> Self {
        TurnError::Failed(error.into())
    }
}

fn ask(session: &mut Session, text: &str, interrupt: &AtomicBool) -> Result<Answer, TurnError> {
    let mut printer = Printer::new(interrupt);
    let answer = session.ask(text, |event| printer.event(event));
    printer.finish(answer)
}

fn regenerate(session: &mut Session, interrupt: &AtomicBool) -> Result<Answer, TurnError> {
    let mut printer = Printer::new(interrupt);
    let answer = session.regenerate(|event| printer.event(event));
    printer.finish(answer)
}

/// Streams an answer to stdout.
struct Printer<'a> {
    interrupt: &'a AtomicBool,
    mark: Mark,
    dims: bool,
    thinking: bool,
    /// Breaks lines between words, where the terminal says how wide it is.
    wrap: Option<Wrap>,
    written: Result<(), std::io::Error>,
}

impl<'a> Printer<'a> {
    fn new(interrupt: &'a AtomicBool) -> Self {
        interrupt::take(interrupt);
        Printer {
            interrupt,
            mark: Mark::new(),
            dims: terminal::dims(),
            thinking: false,
            wrap: terminal::columns().map(Wrap::new),
            written: Ok(()),
        }
    }

    fn event(&mut self, event: ChatEvent) -> ControlFlow<()> {
        match event {
            ChatEvent::Dropped { n_turns } => {
                let turns = if n_turns == 1 { "turn" } else { "turns" };
                terminal::note(format_args!("note: the window is full, the oldest {n_turns} {turns} dropped; a larger --ctx keeps more"));
            }
            ChatEvent::Prefill { fed, total } => self.mark.show(&format!("reading: {fed} of {total} tokens")),
            ChatEvent::Text(part) => {
                self.mark.clear();
                self.written = self.text(part);
            }
        }
        if self.written.is_err() || interrupt::take(self.interrupt) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn text(&mut self, part: AnswerPart) -> Result<(), std::io::Error> {
        let mut out = stdout().lock();
        let (thinking, text) = match &part {
            AnswerPart::Thinking(text) => (true, text),
            AnswerPart::Answer(text) => (false, text),
        };
        if thinking != std::mem::replace(&mut self.thinking, thinking) {
            let held = self.wrap.as_mut().map(Wrap::finish).unwrap_or_default();
            out.write_all(held.as_bytes())?;
            self.wrap = terminal::columns().map(Wrap::new);
            let change = match (thinking, self.dims) {
                (true, true) => "\x1b[2m",
                (false, true) => "\x1b[0m\n\n",
                (true, false) => "",
                (false, false) => "\n\n",
            };
            out.write_all(change.as_bytes())?;
        }
        match &mut self.wrap {
            Some(wrap) => out.write_all(wrap.push(text).as_bytes())?,
            None => out.write_all(text.as_bytes())?,
        }
        out.flush()
    }

    fn finish(mut self, answer: Result<Answer, ChatError<EngineError>>) -> Result<Answer, TurnError> {
        self.mark.clear();
        self.written?;
        let mut out = stdout().lock();
        let held = self.wrap.as_mut().map(Wrap::finish).unwrap_or_default();
        out.write_all(held.as_bytes())?;
        if self.thinking && self.dims {
            out.write_all(b"\x1b[0m")?;
        }
        let answer = answer.map_err(|error| match error {
            ChatError::Engine(error) => TurnError::Failed(error.into()),
            other => TurnError::Refused(other.to_string()),
        })?;
        out.write_all(b"\n")?;
        out.flush()?;
        Ok(answer)
    }
}

fn stats_line(session: &Session, answer: &Answer) -> String {
    let (position, window) = (session.context().position(), session.context().spec().window);
    format!("{}, {} of {window} in view", super::draft::stats(&answer.timing), position.min(window))
}

//! The chat session on a terminal: line editing, history, slash commands.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use serde::{Deserialize, Serialize};

use tensorlogic::engine::LoadedModel;
use tensorlogic::output::{Existing, FileKind, Output};
use tensorlogic::text::{Message, SamplingOverrides};

use super::super::args::ChatArgs;
use super::super::error::{CliError, CliResult};
use super::super::{signals, terminal};
use super::typed::{Typed, unquoted};
use super::{Session, ask, regenerate, stats_line};

const HELP: &str = "\
/help or /?     this
/set NAME X     set temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed or max_tokens
/clear          forget the conversation
/system [TEXT]  set the system message; without text, remove it
/save PATH      write the conversation as JSON; /save --force PATH replaces a file
/load PATH      go on with a saved conversation
/stats          show tokens and speed after each answer, or stop
/regen          answer the last message again
/exit or /bye   leave, as Ctrl-D does
Ctrl-C stops an answer. Tab completes commands and paths. A pasted text of several lines is one message, and so is what stands between \"\"\".";

/// What may stand behind a `/`.
pub const COMMANDS: &[&str] = &["help", "set", "clear", "system", "save", "load", "stats", "regen", "exit", "bye"];

/// What `/set` changes.
pub const SETTINGS: &[&str] = &["temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n", "seed", "max_tokens"];

/// A conversation as `/save` writes it.
#[derive(Serialize, Deserialize)]
struct Saved {
    system: Option<String>,
    messages: Vec<SavedMessage>,
}

#[derive(Serialize, Deserialize)]
struct SavedMessage {
    role: String,
    content: String,
}

pub fn run(session: &mut Session, model: &LoadedModel, args: &ChatArgs, interrupt: &AtomicBool) -> CliResult {
    signals::keep_terminal();
    let config = Config::builder().bracketed_paste(true).auto_add_history(true).build();
    let mut editor: Editor<Typed, FileHistory> = Editor::with_config(config).map_err(CliError::failed)?;
    editor.set_helper(Some(Typed));
    let history = if args.no_history { None } else { terminal::history_path("history") };
    if let Some(path) = &history {
        // The first session has no history yet.
        let _ = editor.load_history(path);
    }
    terminal::note(format_args!("{}. /help lists commands, Ctrl-D leaves.", model.config.name));
    let mut state = State { stats: args.stats, history: history.clone(), model, sampling: args.sampling.overrides() };
    loop {
        match editor.readline("> ") {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => match state.line(session, line.trim(), interrupt) {
                Ok(true) => break,
                Ok(false) => {}
                Err(CliError::BrokenPipe) => return Err(CliError::BrokenPipe),
                // The session goes on: nothing of the conversation is lost.
                Err(error) => {
                    if let (Some(text), _) = error.report() {
                        terminal::error(text.trim_end());
                    }
                }
            },
            Err(ReadlineError::Interrupted) => terminal::note("(Ctrl-D or /exit leaves)"),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(CliError::failed(error)),
        }
    }
    if let Some(path) = &history {
        // Without a home to write to, history lasts as long as the session.
        let _ = editor.save_history(path);
    }
    Ok(())
}

struct State<'a> {
    stats: bool,
    history: Option<PathBuf>,
    model: &'a LoadedModel,
    /// What flags and `/set` say of sampling; the rest comes from the model's file.
    sampling: SamplingOverrides,
}

impl State<'_> {
    /// One line of a person. `true` leaves.
    fn line(&mut self, session: &mut Session, line: &str, interrupt: &AtomicBool) -> Result<bool, CliError> {
        let Some(command) = line.strip_prefix('/').filter(|c| !c.contains('\n')) else {
            let answer = ask(session, unquoted(line), interrupt)?;
            if self.stats {
                terminal::error(stats_line(session, &answer));
            }
            return Ok(false);
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "help" | "?" => {
                terminal::error(HELP);
                terminal::error(match &self.history {
                    Some(path) => {
                        format!("The lines that you type are kept in {} for the Up key; --no-history keeps none.", path.display())
                    }
                    None => "The lines that you type are kept until you leave.".to_owned(),
                });
            }
            "clear" => session.clear(),
            "system" => session.set_system((!rest.is_empty()).then(|| rest.to_owned())),
            "save" => save(session, rest)?,
            "load" => load(session, rest)?,
            "stats" => {
                self.stats = !self.stats;
                terminal::error(format_args!("stats {}", if self.stats { "on" } else { "off" }));
            }
            "regen" => {
                let answer = regenerate(session, interrupt)?;
                if self.stats {
                    terminal::error(stats_line(session, &answer));
                }
            }
            "set" => self.set(session, rest)?,
            "exit" | "quit" | "bye" => return Ok(true),
            _ => return Err(CliError::usage(format!("there is no command `/{name}`; /help lists them"))),
        }
        Ok(false)
    }
}

impl State<'_> {
    /// `/set temperature 0.2`, also as `/set parameter temperature 0.2`. From the next answer on.
    fn set(&mut self, session: &mut Session, rest: &str) -> CliResult {
        let rest = rest.strip_prefix("parameter ").map_or(rest, str::trim_start);
        let (name, value) = rest.split_once([' ', '=']).map_or((rest, ""), |(name, value)| (name, value.trim()));
        let wrong = || CliError::usage(format!("`{value}` is no value of {name}: type a number, as in /set {name} 1"));
        let mut sampling = self.sampling;
        match name.replace('-', "_").as_str() {
            "temperature" | "temp" => sampling.temperature = Some(value.parse().map_err(|_| wrong())?),
            "top_k" => sampling.top_k = Some(value.parse().map_err(|_| wrong())?),
            "top_p" => sampling.top_p = Some(value.parse().map_err(|_| wrong())?),
            "min_p" => sampling.min_p = Some(value.parse().map_err(|_| wrong())?),
            "repeat_penalty" => sampling.repeat_penalty = Some(value.parse().map_err(|_| wrong())?),
            "repeat_last_n" => sampling.repeat_last_n = Some(value.parse().map_err(|_| wrong())?),
            "seed" => sampling.seed = Some(value.parse().map_err(|_| wrong())?),
            "max_tokens" | "num_predict" => session.settings.max_tokens = value.parse().map_err(|_| wrong())?,
            _ => return Err(CliError::usage(format!("`/set {rest}` is not known: type /set NAME X with one of {}", SETTINGS.join(", ")))),
        }
        session.settings.sampling = self.model.sampling(&sampling)?;
        self.sampling = sampling;
        terminal::error(format_args!("{name} {value}"));
        Ok(())
    }
}

fn save(session: &Session, rest: &str) -> CliResult {
    let (path, existing) = match rest.strip_prefix("--force") {
        Some(path) if path.is_empty() || path.starts_with(char::is_whitespace) => (path.trim_start(), Existing::Replace),
        _ => (rest, Existing::Keep { unless: "type `/save --force PATH` to replace it" }),
    };
    if path.is_empty() {
        return Err(CliError::usage("give a path: /save talk.json"));
    }
    let output = Output::new(Path::new(path), existing)?.of_kind(FileKind::JSON)?;
    let messages = session.messages().iter().map(|m| SavedMessage { role: m.role.clone(), content: m.content.clone() }).collect();
    let saved = Saved { system: session.system().map(str::to_owned), messages };
    let json = serde_json::to_string_pretty(&saved).map_err(CliError::failed)?;
    output.write_bytes(json.as_bytes())?;
    terminal::note(format_args!("wrote {path}"));
    Ok(())
}

fn load(session: &mut Session, path: &str) -> CliResult {
    if path.is_empty() {
        return Err(CliError::usage("give a path: /load talk.json"));
    }
    let json = std::fs::read(path).map_err(|e| CliError::failed(format!("cannot read `{path}`: {e}")))?;
    let saved: Saved = serde_json::from_slice(&json).map_err(|e| CliError::failed(format!("`{path}` is no saved conversation: {e}")))?;
    let n_messages = saved.messages.len();
    session.set_system(saved.system);
    session.replace(saved.messages.into_iter().map(|m| Message::new(m.role, m.content)).collect());
    terminal::note(format_args!("loaded {n_messages} messages"));
    Ok(())
}

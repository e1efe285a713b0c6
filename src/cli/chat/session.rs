//! The chat session on a terminal: line editing, history, slash commands.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use serde::{Deserialize, Serialize};

use tensorlogic::output::{Existing, FileKind, Output};
use tensorlogic::text::Message;

use super::super::args::ChatArgs;
use super::super::error::{CliError, CliResult};
use super::super::{signals, terminal};
use super::{Session, ask, regenerate, stats_line};

const HELP: &str = "\
/help           this
/clear          forget the conversation
/system [TEXT]  set the system message; without text, remove it
/save PATH      write the conversation as JSON; /save --force PATH replaces a file
/load PATH      go on with a saved conversation
/stats          show tokens and speed after each answer, or stop
/regen          answer the last message again
/exit           leave, as Ctrl-D does
Ctrl-C stops an answer. A pasted text of several lines is one message.";

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

pub fn run(session: &mut Session, name: &str, args: &ChatArgs, interrupt: &AtomicBool) -> CliResult {
    signals::keep_terminal();
    let config = Config::builder().bracketed_paste(true).auto_add_history(true).build();
    let mut editor: Editor<(), FileHistory> = Editor::with_config(config).map_err(CliError::failed)?;
    let history = if args.no_history { None } else { terminal::history_path("history") };
    if let Some(path) = &history {
        // The first session has no history yet.
        let _ = editor.load_history(path);
    }
    terminal::note(format_args!("{name}. /help lists commands, Ctrl-D leaves."));
    let mut state = State { stats: args.stats, history: history.clone() };
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
                        terminal::note(text.trim_end());
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

struct State {
    stats: bool,
    history: Option<PathBuf>,
}

impl State {
    /// One line of a person. `true` leaves.
    fn line(&mut self, session: &mut Session, line: &str, interrupt: &AtomicBool) -> Result<bool, CliError> {
        let Some(command) = line.strip_prefix('/').filter(|c| !c.contains('\n')) else {
            let answer = ask(session, line, interrupt)?;
            if self.stats {
                terminal::note(stats_line(session, &answer));
            }
            return Ok(false);
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "help" => {
                terminal::note(HELP);
                terminal::note(match &self.history {
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
                terminal::note(format_args!("stats {}", if self.stats { "on" } else { "off" }));
            }
            "regen" => {
                let answer = regenerate(session, interrupt)?;
                if self.stats {
                    terminal::note(stats_line(session, &answer));
                }
            }
            "exit" | "quit" => return Ok(true),
            _ => return Err(CliError::usage(format!("there is no command `/{name}`; /help lists them"))),
        }
        Ok(false)
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

//! A chat session on a terminal, typed as a person types it.

use std::process::Command;
use std::time::{Duration, Instant};

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use serde_json::Value;

use crate::models::Parts;
use crate::process::command;
use crate::scratch::Scratch;

const BACKSPACE: &str = "\x7f";
const LEFT: &str = "\x1b[D";
const UP: &str = "\x1b[A";
/// What the editor sends when it starts to read a line: from here on the terminal passes every key to it.
const READS: &str = "\x1b[?2004h";
const TIMEOUT_MS: u64 = 60_000;

struct Terminal {
    session: PtySession,
    scratch: Scratch,
}

impl Terminal {
    fn open(name: &str, args: &[&str]) -> Terminal {
        let scratch = Scratch::new(name);
        let mut command: Command = command(&[&["chat", "--temperature", "0"], args].concat());
        command.env("TERM", "xterm").env("XDG_STATE_HOME", scratch.path("state"));
        let mut terminal = Terminal { session: spawn_command(command, Some(TIMEOUT_MS)).unwrap(), scratch };
        terminal.reads();
        terminal
    }

    /// Waits until the editor reads a line, and returns what was shown until then.
    fn reads(&mut self) -> String {
        self.session.exp_string(READS).unwrap()
    }

    fn keys(&mut self, keys: &str) {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
    }

    /// Types a line and returns what was shown until the next one is read.
    fn line(&mut self, keys: &str) -> String {
        self.keys(keys);
        self.keys("\r");
        self.reads()
    }

    /// The messages as `/save` writes them.
    fn messages(&mut self) -> Vec<(String, String)> {
        let path = self.scratch.path("now.json");
        let shown = self.line(&format!("/save --force {}", path.display()));
        assert!(shown.contains("wrote"), "{shown:?}");
        let saved: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
        saved["messages"].as_array().unwrap().iter().map(|m| (text(m, "role"), text(m, "content"))).collect()
    }

    fn questions(&mut self) -> Vec<String> {
        self.messages().into_iter().filter(|(role, _)| role == "user").map(|(_, text)| text).collect()
    }

    /// Leaves by Ctrl-D.
    fn leaves(mut self) {
        self.keys("\x04");
        self.session.exp_eof().unwrap();
        assert!(matches!(self.session.process().wait().unwrap(), WaitStatus::Exited(_, 0)));
    }
}

#[test]
fn a_line_is_edited_and_answered() {
    let mut terminal = Terminal::open("edit", &[]);
    let shown = terminal.line(&format!("Helko{LEFT}{BACKSPACE}l"));
    assert!(shown.contains("Hello! How can I help you today?"), "{shown:?}");
    // The last line from the history.
    let shown = terminal.line(UP);
    assert!(shown.contains("help you"), "{shown:?}");
    assert_eq!(terminal.questions(), ["Hello", "Hello"]);
    terminal.keys("never sent\x03");
    let shown = terminal.reads();
    assert!(shown.contains("Ctrl-D"), "Ctrl-C at the prompt says how to leave: {shown:?}");
    terminal.leaves();
}

#[test]
fn two_pasted_lines_are_one_message() {
    let mut terminal = Terminal::open("paste", &[]);
    terminal.line("\x1b[200~Hello\rHow are you?\x1b[201~");
    assert_eq!(terminal.questions(), ["Hello\nHow are you?"]);
    terminal.line("\x1b[200~/clear\rHello\x1b[201~");
    assert_eq!(terminal.questions()[1], "/clear\nHello", "a pasted text is no command");
    terminal.leaves();
}

#[test]
fn an_answer_is_interrupted_and_the_session_goes_on() {
    let scratch = Scratch::new("endless");
    let model = scratch.path("model.gguf");
    std::fs::write(&model, Parts::tiny().without_end().bytes()).unwrap();
    let mut terminal = Terminal::open("interrupt", &[model.to_str().unwrap(), "--max-tokens", "100000000"]);
    for round in 1..=2 {
        terminal.keys("the and the\r");
        // Some of the answer, behind the end of the typed line.
        terminal.session.exp_string("\r\n").unwrap();
        for _ in 0..200 {
            terminal.session.exp_regex("(?s).").unwrap();
        }
        let start = Instant::now();
        terminal.keys("\x03");
        terminal.reads();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        let messages = terminal.messages();
        assert_eq!(messages.len(), 2 * round, "{messages:?}");
        assert!(messages.iter().all(|(_, text)| !text.is_empty()), "what was said until then stays");
    }
    terminal.leaves();
}

#[test]
fn commands_of_a_session() {
    let mut terminal = Terminal::open("commands", &[]);
    terminal.line("My name is Ada.");
    assert!(terminal.line("What is my name?").contains("Your name is Ada"));
    assert!(terminal.line("/help").contains("/clear"));
    let shown = terminal.line("/abacus");
    assert!(shown.contains("no command `/abacus`") && shown.contains("/help"), "{shown:?}");
    assert!(terminal.line("/stats").contains("stats on"));
    assert!(terminal.line("/regen").contains("tok/s"));
    assert_eq!(terminal.messages().len(), 4);
    let path = terminal.scratch.path("talk.json");
    assert!(terminal.line(&format!("/save {}", path.display())).contains("wrote"));
    // Saved again, over the same file, over one of another kind, and nowhere.
    let shown = terminal.line(&format!("/save {}", path.display()));
    assert!(shown.contains("exists already") && shown.contains("/save --force"), "{shown:?}");
    assert!(terminal.line(&format!("/save --force {}", path.display())).contains("wrote"));
    assert!(terminal.line(&format!("/save {}", terminal.scratch.path("talk.gguf").display())).contains("JSON would be written"));
    terminal.line("/clear");
    assert!(terminal.messages().is_empty());
    let shown = terminal.line("What is my name?");
    assert!(!shown.contains("Ada"), "{shown:?}");
    assert!(terminal.line("/regen").contains("tok/s"));
    assert!(terminal.line(&format!("/load {}", path.display())).contains("loaded 4 messages"));
    assert!(terminal.line("What is my name?").contains("Your name is Ada"));
    assert!(terminal.line("/load /nowhere.json").contains("cannot read"));
    assert!(terminal.line("/save").contains("give a path"));
    assert_eq!(terminal.messages().len(), 6, "a command that fails loses nothing");
    terminal.leaves();
}

#[test]
fn settings_change_within_a_session() {
    let mut terminal = Terminal::open("settings", &[]);
    assert!(terminal.line("/?").contains("/set"));
    assert!(terminal.line("/set max_tokens 3").contains("max_tokens 3"));
    let shown = terminal.line("Hello");
    assert!(shown.contains("Hello") && !shown.contains("today"), "{shown:?}");
    terminal.line("/set parameter num_predict 2048");
    assert!(terminal.line("Hello").contains("Hello! How can I help you today?"));
    // A value that is none, one that may not be, and a name that is none: the session goes on as it was.
    assert!(terminal.line("/set temperature warm").contains("`warm` is no value of temperature"));
    assert!(terminal.line("/set temperature -1").contains("temperature"));
    assert!(terminal.line("/set warmth 1").contains("temperature, top_k"));
    assert!(terminal.line("Hello").contains("Hello! How can I help you today?"), "temperature is 0 still");
    // Tab completes a command, and three quotes hold a message together.
    assert!(terminal.line("/sta\t").contains("stats on"));
    terminal.keys("\"\"\"Hello\r");
    terminal.line("How are you?\"\"\"");
    assert_eq!(terminal.questions().last().unwrap(), "Hello\nHow are you?");
    terminal.keys("/bye\r");
    terminal.session.exp_eof().unwrap();
    assert!(matches!(terminal.session.process().wait().unwrap(), WaitStatus::Exited(_, 0)));
}

#[test]
fn answers_break_between_words() {
    let scratch = Scratch::new("narrow");
    let tl = command(&[]).get_program().to_owned();
    let mut narrow = Command::new("sh");
    narrow.args(["-c", "stty cols 40 && exec \"$0\" chat --temperature 0 --backend cpu -p 'What is attention?'"]).arg(tl);
    narrow.env("TERM", "xterm").env("TL_HISTORY", "").env("TL_CACHE", "").current_dir(scratch.path(""));
    let mut session = spawn_command(narrow, Some(TIMEOUT_MS)).unwrap();
    let shown = session.exp_eof().unwrap();
    let answer = shown.split_once("In attention").unwrap().1;
    let lines: Vec<&str> = answer.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    assert!(lines.len() >= 3 && lines.iter().all(|line| line.chars().count() <= 40), "{lines:?}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let whole = crate::process::tl(&["chat", "--temperature", "0", "-p", "What is attention?"]);
    assert_eq!(words(&format!("In attention{answer}")), words(whole.answer()));
}

#[test]
fn exit_leaves_and_history_lasts() {
    let mut terminal = Terminal::open("history", &[]);
    terminal.line("Hello");
    terminal.keys("/exit\r");
    terminal.session.exp_eof().unwrap();
    assert!(matches!(terminal.session.process().wait().unwrap(), WaitStatus::Exited(_, 0)));
    let history = std::fs::read_to_string(terminal.scratch.path("state/tl/history")).unwrap();
    assert!(history.lines().any(|line| line == "Hello"), "{history:?}");
}

#[test]
fn what_is_typed_is_not_kept_where_that_was_asked() {
    let mut terminal = Terminal::open("no-history", &["--no-history"]);
    let shown = terminal.line("/help");
    assert!(shown.contains("kept until you leave"), "{shown:?}");
    terminal.line("Hello");
    let state = terminal.scratch.path("state/tl/history");
    terminal.keys("/exit\r");
    terminal.session.exp_eof().unwrap();
    assert!(!state.exists());
    // The help of a session that keeps its lines says where.
    let mut terminal = Terminal::open("history-help", &[]);
    let shown = terminal.line("/help");
    assert!(shown.contains("history") && shown.contains("--no-history"), "{shown:?}");
    terminal.leaves();
}

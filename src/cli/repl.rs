//! `tl repl`: line by line, with state that lasts.

use std::cell::RefCell;
use std::io::{Write, stdin, stdout};
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};

use tensorlogic::lang::Interp;
use tensorlogic::source::{Line as Input, read_line, skip_line};
use tensorlogic::syntax::{continues_name, is_incomplete};

use super::args::ReplArgs;
use super::error::{CliError, CliResult};
use super::run::{interp, show};
use super::terminal::ProgramOut;
use super::{interrupt, signals, terminal};

/// A statement of more bytes is refused.
const INPUT_BYTES_MAX: usize = 16 << 20;

pub fn run(args: &ReplArgs) -> CliResult {
    let mut interp = interp(&args.compute, &[])?;
    if terminal::is_interactive() { on_terminal(&mut interp, args.no_history) } else { piped(&mut interp) }
}

/// Lines from a pipe, without decoration. An error is shown and does not end the session, but its exit code.
fn piped(interp: &mut Interp) -> CliResult {
    let (mut text, mut failed) = (String::new(), false);
    let cannot = |e| CliError::failed(format!("cannot read standard input: {e}"));
    for line_nr in 1.. {
        // A statement may read standard input itself, so it is not held in between.
        let input = read_line(&mut stdin().lock(), INPUT_BYTES_MAX - text.len()).map_err(cannot)?;
        let wrong = match input {
            Input::Text(line) => {
                text.push_str(&line);
                text.push('\n');
                if text.len() >= INPUT_BYTES_MAX || !is_incomplete(&text) {
                    failed |= !evaluate(interp, &std::mem::take(&mut text))?;
                }
                continue;
            }
            Input::End => break,
            Input::TooLong => {
                skip_line(&mut stdin().lock()).map_err(cannot)?;
                format!("has more than {INPUT_BYTES_MAX} bytes")
            }
            Input::NotText { at } => format!("is no UTF-8 text at byte {at}"),
        };
        terminal::error(format_args!("error: line {line_nr} of standard input {wrong}; it was left out"));
        text.clear();
        failed = true;
    }
    if !text.trim().is_empty() {
        failed |= !evaluate(interp, &text)?;
    }
    if failed { Err(CliError::Silent) } else { Ok(()) }
}

fn on_terminal(interp: &mut Interp, no_history: bool) -> CliResult {
    signals::keep_terminal();
    let config = Config::builder().bracketed_paste(true).auto_add_history(true).build();
    let mut editor: Editor<Line, FileHistory> = Editor::with_config(config).map_err(CliError::failed)?;
    let names = Rc::new(RefCell::new(interp.visible_names()));
    editor.set_helper(Some(Line { names: names.clone() }));
    let history = if no_history { None } else { terminal::history_path("repl_history") };
    if let Some(path) = &history {
        // The first session has no history yet.
        let _ = editor.load_history(path);
    }
    terminal::note(format_args!("tl {}. Ctrl-D leaves, Tab completes, `tl doc` lists the library.", env!("CARGO_PKG_VERSION")));
    let interrupt = interrupt::install()?;
    loop {
        match editor.readline("> ") {
            Ok(line) => {
                interrupt::take(&interrupt);
                evaluate(interp, &line)?;
                *names.borrow_mut() = interp.visible_names();
            }
            Err(ReadlineError::Interrupted) => terminal::note("(Ctrl-D leaves)"),
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

/// What `:help` shows.
const HELP: &str = "\
A line is a piece of a program, and its value is shown: `1 + 2`, `let x = rand([2, 3])`, `x.softmax(dim: 0)`.
What is declared stays. Names end with Tab, a line that is not finished goes on, Ctrl-C ends what runs, Ctrl-D leaves.
`tl doc` lists the library, `tl doc NAME` explains a function.";

/// Shows a line's value, or its errors. `false`: it had some.
fn evaluate(interp: &mut Interp, text: &str) -> Result<bool, CliError> {
    if text.trim().is_empty() {
        return Ok(true);
    }
    if let Some(command) = text.trim().strip_prefix(':') {
        terminal::error(match command.split_whitespace().next().unwrap_or_default() {
            "help" | "h" | "?" => HELP,
            "quit" | "q" | "exit" => "Ctrl-D leaves",
            _ => "error: lines are programs, and there are no commands that start with `:`; Ctrl-D leaves, `tl doc` lists the library",
        });
        return Ok(matches!(command, "help" | "h" | "?" | "quit" | "q" | "exit"));
    }
    let result = interp.run_line(text);
    let notes = std::mem::take(&mut interp.notes);
    show(interp, &notes);
    match result {
        Ok(shown) => {
            if let Some(text) = shown {
                writeln!(stdout(), "{text}")?;
            }
            Ok(true)
        }
        Err(diagnostics) => {
            ProgramOut::check()?;
            show(interp, &diagnostics);
            Ok(false)
        }
    }
}

/// What the editor knows of a line: whether it goes on, and how its last word may end.
struct Line {
    names: Rc<RefCell<Vec<String>>>,
}

impl Helper for Line {}

impl Hinter for Line {
    type Hint = String;
}

impl Highlighter for Line {}

impl Validator for Line {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_incomplete(ctx.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Line {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let start = word_start(line, at);
        let word = &line[start..at];
        if word.is_empty() {
            return Ok((start, Vec::new()));
        }
        Ok((start, self.names.borrow().iter().filter(|name| name.starts_with(word)).cloned().collect()))
    }
}

/// Where the name that ends at byte `at` begins.
fn word_start(line: &str, at: usize) -> usize {
    let of_name = |c: char| continues_name(c) || c == '.';
    line[..at].char_indices().rev().take_while(|(_, c)| of_name(*c)).last().map_or(at, |(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_under_the_cursor_is_completed() {
        for (line, at, start) in [("let y = so", 10, 8), ("soft", 2, 0), ("a + ", 4, 4), ("é.sha", 6, 0), ("", 0, 0)] {
            assert_eq!(word_start(line, at), start, "{line}");
        }
    }
}

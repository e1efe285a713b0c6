//! The command line: arguments, terminal, exit codes. The only module that prints.

mod args;
mod bench;
mod chat;
mod columns;
mod commands;
mod config;
mod doc;
mod doctor;
mod draft;
mod error;
mod explain;
mod fmt;
mod generate;
mod habits;
mod inspect;
mod interrupt;
mod lsp;
mod manual;
mod program;
mod repl;
mod run;
mod setup;
mod signals;
mod terminal;
mod tokenize;
mod trace;
mod wrap;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, CommandFactory, FromArgMatches};

use tensorlogic::environment;

use args::{Cli, Command};
use error::{CliError, CliResult};

/// Parses the arguments, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    quiet_mesa();
    signals::watch_faults();
    let (cli, needless) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // A broken pipe while help is printed is no failure.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let level = match cli.verbose {
        0 => "off",
        1 => "warn",
        _ => "info",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    if cli.quiet {
        terminal::be_quiet();
    }
    if !needless.is_empty() {
        terminal::note(format_args!("note: what these ask for happens anyway: {}", needless.join(", ")));
    }
    match environment::check() {
        Ok(unread) => unread.iter().for_each(|line| terminal::note(format_args!("note: {line}"))),
        Err(error) => {
            terminal::error(format_args!("error: {error}"));
            return ExitCode::from(2);
        }
    }
    // Programs recurse; the main thread's stack is small on some systems.
    let result = match tensorlogic::lang::on_deep_stack(|| run(&cli.command)) {
        Ok(result) => result,
        Err(error) => Err(CliError::failed(format!("cannot start a thread: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (text, code) = error.report();
            if let Some(text) = text {
                terminal::error(text.trim_end());
            }
            code
        }
    }
}

/// The arguments as typed, and the flags of other programs among them that have nothing to do here. Every value may be a negative number, so that the flag says what is wrong with it.
fn parse() -> Result<(Cli, Vec<&'static str>), clap::Error> {
    let (args, needless) = habits::translated(std::env::args_os());
    let command = Cli::command().mut_subcommands(|command| {
        let takes_value = |arg: &Arg| !arg.is_allow_hyphen_values_set() && arg.get_action().takes_values();
        command.mut_args(|arg| if takes_value(&arg) { arg.allow_negative_numbers(true) } else { arg })
    });
    let is_command =
        |arg: &OsString| command.get_subcommands().any(|c| arg == c.get_name() || c.get_all_aliases().any(|alias| arg == alias));
    if let Some(path) = args.get(1).filter(|arg| !is_command(arg)).map(Path::new).filter(|path| path.exists()) {
        let wanted = if path.extension().is_some_and(|e| e == "tl") { "run" } else { "chat" };
        let text = format!("`{0}` is a file or folder, not a command: type `tl {wanted} {0}`", path.display());
        return Err(Cli::command().error(ErrorKind::InvalidSubcommand, text));
    }
    if let Some(says) = args.get(1).and_then(|arg| arg.to_str()).and_then(habits::other_command) {
        return Err(Cli::command().error(ErrorKind::InvalidSubcommand, says));
    }
    let parsed = with_config(&command, args).and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map(|cli| (cli, needless)).map_err(|mut error| {
        // `-x` is never meant as a value, as clap would have it.
        error.remove(ContextKind::Suggested);
        error
    })
}

/// The arguments, and behind the command's name what the config file adds to them.
fn with_config(command: &clap::Command, mut args: Vec<OsString>) -> Result<clap::ArgMatches, clap::Error> {
    let matches = command.clone().try_get_matches_from(&args)?;
    let Some((name, typed)) = matches.subcommand() else { return Ok(matches) };
    let refused = |says: String| command.clone().error(ErrorKind::InvalidValue, says);
    // The flags of every command are a part of each when it is built.
    let mut built = command.clone();
    built.build();
    let flags = config::flags(&built, name, typed).map_err(refused)?;
    let called = |arg: &OsString| command.find_subcommand(arg).is_some_and(|found| found.get_name() == name);
    let Some(at) = args.iter().skip(1).position(called).filter(|_| !flags.is_empty()) else { return Ok(matches) };
    args.splice(at + 2..at + 2, flags);
    command.clone().try_get_matches_from(args)
}

/// Mesa's device-select layer writes to stderr where there is no desktop session. The engine chooses its adapter itself.
fn quiet_mesa() {
    if std::env::var_os("NODEVICE_SELECT").is_none() {
        // SAFETY: nothing has started a thread yet.
        #[allow(clippy::disallowed_methods, reason = "the first thing that the process does")]
        unsafe {
            std::env::set_var("NODEVICE_SELECT", "1");
        }
    }
}

fn run(command: &Command) -> CliResult {
    match command {
        Command::Chat(args) => chat::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Run(args) => run::run(args),
        Command::Repl(args) => repl::run(args),
        Command::Test(args) => run::test(args),
        Command::Trace(args) => trace::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Devices(args) => commands::devices(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Doc { markdown: true, .. } => doc::page(),
        Command::Doc { name, .. } => doc::run(name.as_deref()),
        Command::Lsp => lsp::run(),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man { out, force } => manual::man(out.as_deref(), *force),
        Command::Fmt { paths, check } => fmt::run(paths, *check),
    }
}

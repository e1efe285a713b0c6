//! `tl completions` and `tl man`: what the command line says of itself, for shells and for `man`.

use std::io::{Write, stdout};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::args::Cli;
use super::error::{CliError, CliResult};
use super::setup::output;
use super::terminal;

/// A script for a shell, as `tl completions bash > ~/.local/share/bash-completion/completions/tl` wants it.
pub fn completions(shell: Shell) -> CliResult {
    // The generator panics where it cannot write, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tl", &mut script);
    Ok(stdout().lock().write_all(&script)?)
}

/// The page of `tl` on stdout, or the pages of all commands in a folder.
pub fn man(folder: Option<&Path>, force: bool) -> CliResult {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = folder else {
        return Ok(stdout().lock().write_all(&page(command)?)?);
    };
    std::fs::create_dir_all(folder).map_err(|e| CliError::failed(format!("cannot make the folder `{}`: {e}", folder.display())))?;
    let named = |sub: &Command| (format!("tl-{}", sub.get_name()), sub.clone());
    let commands = command.get_subcommands().filter(|sub| sub.get_name() != "help").map(named);
    let pages: Vec<(String, Command)> = [("tl".to_owned(), command.clone())].into_iter().chain(commands).collect();
    let outputs = pages.iter().map(|(name, _)| output(&folder.join(format!("{name}.1")), force)).collect::<Result<Vec<_>, _>>()?;
    for ((_, command), output) in pages.into_iter().zip(outputs) {
        output.write_bytes(&page(command)?)?;
    }
    terminal::note(format_args!("wrote the pages into {}: `man {}` shows the first", folder.display(), folder.join("tl.1").display()));
    Ok(())
}

fn page(command: Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(CliError::failed)?;
    Ok(page)
}

//! `tl doc`: the library's documentation, from the table of builtins.

use crate::lang::builtins::{find, table};

use super::error::{CliError, CliResult};
use super::terminal;

pub fn run(name: Option<&str>) -> CliResult {
    let Some(name) = name else {
        for builtin in table() {
            terminal::say(builtin.signature)?;
        }
        return Ok(());
    };
    let methods = table().filter(|b| b.name.contains('.') && b.short_name() == name);
    let mut found = false;
    for builtin in find(name).into_iter().chain(methods) {
        terminal::say(format_args!("{}\n    {}", builtin.signature, builtin.doc))?;
        found = true;
    }
    if found { Ok(()) } else { Err(CliError::failed(format!("nothing is documented under `{name}`; `tl doc` lists what is"))) }
}

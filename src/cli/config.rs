//! The config file: flags for every start that does not have them already.
//!
//! It is TOML: a key is the long name of a flag. One at the top is for every command that has the flag, one in a table for the command of that name.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use toml::{Table, Value};

use tensorlogic::environment;

/// The file: that of `TL_CONFIG`, where empty means none, else `tl/config.toml` in the user's folder for such files.
fn place() -> Option<PathBuf> {
    if let Some(path) = environment::CONFIG.path() {
        return path;
    }
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = if cfg!(windows) { var("APPDATA") } else { var("XDG_CONFIG_HOME").or_else(|| Some(var("HOME")?.join(".config"))) };
    Some(folder?.join("tl/config.toml")).filter(|path| path.exists())
}

/// The flags that the file adds to those of the command `name`, of which `typed` were typed.
///
/// # Errors
/// When the file cannot be read, is no TOML, or has a key that is no flag.
pub fn flags(cli: &Command, name: &str, typed: &ArgMatches) -> Result<Vec<OsString>, String> {
    let Some(path) = place() else { return Ok(Vec::new()) };
    let wrong = |says: String| format!("the config file `{}`: {says}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|e| wrong(format!("cannot be read: {e}; TL_CONFIG= does without")))?;
    let table: Table = text.parse().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    let mut found: Vec<OsString> = Vec::new();
    for (key, value) in &table {
        match value {
            Value::Table(section) => {
                let Some(command) = cli.get_subcommands().find(|command| command.get_name() == key) else {
                    return Err(wrong(format!("there is no command `{key}`")));
                };
                for (key, value) in section {
                    let flag = flag_of(command, key).ok_or_else(|| wrong(format!("`tl {}` has no flag --{key}", command.get_name())))?;
                    if command.get_name() == name {
                        found.extend(words(command, flag, value, typed).map_err(wrong)?);
                    }
                }
            }
            value => {
                let mut having = cli.get_subcommands().filter_map(|command| Some((command, flag_of(command, key)?))).peekable();
                if having.peek().is_none() {
                    return Err(wrong(format!("no command has a flag --{key}")));
                }
                // A table of the command goes before.
                let said = table.get(name).and_then(Value::as_table).is_some_and(|section| section.contains_key(key));
                if let Some((command, flag)) = having.find(|(command, _)| command.get_name() == name && !said) {
                    found.extend(words(command, flag, value, typed).map_err(wrong)?);
                }
            }
        }
    }
    Ok(found)
}

/// The flag of this long name.
fn flag_of<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(key) || arg.get_all_aliases().is_some_and(|names| names.contains(&key)))
}

/// The flag as it would be typed; nothing where it was typed, or another one that excludes it.
fn words(command: &Command, flag: &Arg, value: &Value, typed: &ArgMatches) -> Result<Vec<OsString>, String> {
    let was_typed = |arg: &Arg| {
        let id = arg.get_id().as_str();
        typed.try_contains_id(id).is_ok() && typed.value_source(id) == Some(ValueSource::CommandLine)
    };
    if was_typed(flag) || command.get_arg_conflicts_with(flag).into_iter().any(was_typed) {
        return Ok(Vec::new());
    }
    let name = flag.get_long().unwrap_or_default();
    if !flag.get_action().takes_values() {
        return match value {
            Value::Boolean(true) => Ok(vec![format!("--{name}").into()]),
            Value::Boolean(false) => Ok(Vec::new()),
            other => Err(format!("`{name}` is {other}, and must be true or false")),
        };
    }
    let one = |value: &Value| match value {
        Value::String(text) => Ok(format!("--{name}={text}").into()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(format!("--{name}={value}").into()),
        other => Err(format!("`{name}` is {other}, and must be a text or a number")),
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

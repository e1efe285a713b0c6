//! `tl doc`: the library's documentation, from the table of builtins.

use super::error::{CliError, CliResult};

pub fn run(name: Option<&str>) -> CliResult {
    match crate::lang::builtins::documentation(name) {
        Some(text) => {
            println!("{}", text.trim_end());
            Ok(())
        }
        None => Err(CliError::failed(format!("nothing is documented under `{}`; `tl doc` lists what is", name.unwrap_or_default()))),
    }
}
